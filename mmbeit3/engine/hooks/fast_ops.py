"""Use mmbeit3's operators in the layers of heads."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmbeit3.ops import replace_layers
from mmbeit3.registry import HOOKS

__all__ = ["FastOpsHook"]


# The second name is that of older configs.
@HOOKS.register_module(name=["FastOpsHook", "FastLinearHook"])
class FastOpsHook(Hook):
    """Make linear layers and mmcv's deformable attention use :mod:`mmbeit3.ops`. Parameters and their names do not change.

    Linear layers call oneDNN on CPUs where that is faster than PyTorch's default. Deformable attention, in the pixel decoder of
    Mask2Former and the family of Deformable DETR, is one kernel each way on GPUs.
    """

    def before_run(self, runner: Runner) -> None:
        """Replace the layers in place."""
        model = runner.model
        replace_layers(model.module if is_model_wrapper(model) else model)
