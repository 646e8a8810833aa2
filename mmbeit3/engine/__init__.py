"""Optimizer constructors, hooks and strategies for MMEngine's runner."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
from mmbeit3.engine import hooks, optimizers, strategies

__all__ = ["hooks", "optimizers", "strategies"]
