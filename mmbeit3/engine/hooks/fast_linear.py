"""Use the fast CPU kernel for the linear layers of heads."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmbeit3.ops import replace_linears
from mmbeit3.registry import HOOKS

__all__ = ["FastLinearHook"]


@HOOKS.register_module()
class FastLinearHook(Hook):
    """Make all linear layers of the model use :func:`mmbeit3.ops.linear`.

    It calls PyTorch's own kernel on GPUs, and on CPUs where that is the fastest. Parameters and their names do not change.
    """

    def before_run(self, runner: Runner) -> None:
        """Replace the layers in place."""
        model = runner.model
        replace_linears(model.module if is_model_wrapper(model) else model)
