"""Optimizer constructors and hooks for MMEngine's runner."""

from mmbeit3.engine import hooks, optimizers

__all__ = ["hooks", "optimizers"]
