"""Optimizer constructors, hooks and strategies for MMEngine's runner."""

from mmbeit3.engine import hooks, optimizers, strategies

__all__ = ["hooks", "optimizers", "strategies"]
