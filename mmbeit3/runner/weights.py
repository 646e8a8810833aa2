"""Load trained weights into a model that is to be tested."""

from __future__ import annotations

from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from mmbeit3.checkpoint import load_checkpoint, load_weights
from mmbeit3.errors import UserError
from mmbeit3.tasks.base import TaskModel

__all__ = ["load_trained", "without_wrappers"]


def load_trained(model: nn.Module, checkpoint: str | Path) -> None:
    """Fill a model to be tested or asked.

    Args:
        model: a task's model, whose network is filled from a file of any layout, such as the official fine-tuned ones; or any
            other model, filled from what its training wrote; or either wrapped, as for several processes or test-time
            augmentation.
        checkpoint: path or URL.

    Raises:
        UserError: if the file cannot be read, is of another model, or lacks a part of it, such as the task's head.
    """
    model = without_wrappers(model)
    if not isinstance(model, TaskModel):
        load_weights(model, checkpoint)
        return
    report = load_checkpoint(model.network, checkpoint)
    if report.missing:
        raise UserError(
            f"checkpoint '{checkpoint}' is not of this task: it lacks {len(report.missing)} of the model's tensors, such as "
            f"{report.missing[0]}; give one that {type(model).__name__} was trained to"
        )
    print_log(str(report), logger="current")


def without_wrappers(model: nn.Module) -> nn.Module:
    """Return the model inside wrappers such as ``DistributedDataParallel`` and test-time augmentation."""
    while isinstance(wrapped := getattr(model, "module", None), nn.Module):
        model = wrapped
    return model
