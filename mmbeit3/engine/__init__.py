"""Optimizer constructors, hooks and strategies for MMEngine's runner."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.engine import hooks, optimizers, strategies

__all__ = ["hooks", "optimizers", "strategies"]
