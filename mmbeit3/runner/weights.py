"""Weights of a model that is to be tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from mmengine.logging import print_log
from torch import nn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.tasks.base import TaskModel

__all__ = ["load_trained", "move_to_device", "without_downloads", "without_wrappers"]

T = TypeVar("T", bound=nn.Module)


def load_trained(model: nn.Module, checkpoint: str | Path) -> None:
    """Load trained weights into a model for testing or inference.

    Args:
        model: the model, also if wrapped for several processes or for test-time augmentation. A task's model accepts files of
            every supported layout, such as the official fine-tuned weights. Other models accept checkpoints of their training.
        checkpoint: path or URL.

    Raises:
        UserError: if the file cannot be read, belongs to another model, or lacks a part of it, such as the task's head.
    """
    model = without_wrappers(model)
    if not isinstance(model, TaskModel):
        load_checkpoint(model, checkpoint, strict=True)
        return
    report = load_checkpoint(model.network, checkpoint)
    if report.missing:
        raise UserError(
            f"checkpoint '{checkpoint}' belongs to another task: it lacks {len(report.missing)} of the model's tensors, such "
            f"as {report.missing[0]}; use a checkpoint of {type(model).__name__}"
        )
    print_log(str(report), logger="current")


def move_to_device(model: T, device: str) -> T:
    """Move a model to a device.

    Raises:
        UserError: if the device cannot be used.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"device '{device}' cannot be used ({reason}): give cpu, or cuda on a machine with a GPU") from error


def without_downloads(model: Any) -> Any:
    """Return the config of a model in which no ViT of timm downloads its initial weights: trained ones will replace them."""
    if isinstance(model, dict):
        changed = {key: without_downloads(value) for key, value in model.items()}
        if model.get("type") == "mmbeit3.TimmViT" and "pretrained" in model:
            changed["pretrained"] = False
        return type(model)(changed)
    return model


def without_wrappers(model: nn.Module) -> nn.Module:
    """Return the model inside wrappers such as ``DistributedDataParallel`` and test-time augmentation."""
    while isinstance(wrapped := getattr(model, "module", None), nn.Module):
        model = wrapped
    return model
