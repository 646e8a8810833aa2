"""Faster linear layers on CPUs, in parts of a model that are not ours."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmbeit3.ops import replace_linears
from mmbeit3.registry import HOOKS

__all__ = ["FastLinearHook"]


@HOOKS.register_module()
class FastLinearHook(Hook):
    """Before a run, have the heads' linear layers compute as our own do, see :func:`mmbeit3.ops.linear`.

    On GPUs, and where PyTorch's own way is the fastest, that is PyTorch's own way. Parameters and their names stay as they are.
    """

    def before_run(self, runner: Runner) -> None:
        """Change the model's layers in place."""
        model = runner.model
        replace_linears(model.module if is_model_wrapper(model) else model)
