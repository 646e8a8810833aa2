"""Fitting one tensor of a checkpoint to a model: check its type and the model's depth, resize positions and patch kernels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint.naming import shape_text
from mmbeit3.checkpoint.prefixes import TOWERS
from mmbeit3.checkpoint.resizing import resize_channels, resize_patch_kernel, resize_position_table
from mmbeit3.errors import UserError

__all__ = ["HEAD", "check_depth", "check_shape", "check_type", "fit"]

HEAD = re.compile(r"(?:\w+_)?head\.")
"""Start of the names of a task's head, e.g. ``head.weight`` or ``mlm_head.bias``."""

_PATCH_KERNEL = re.compile(r"(?:^|\.)embed\.proj\.weight$")
_FIRST_CONVOLUTION = re.compile(r"(?:^|\.)(?:embed\.proj|spm\.stem\.0)\.weight$")
"""Kernels that see the image's channels: BEiT-3's patch embedding, and the stem of a ViT-Adapter's spatial prior module."""


def fit(
    model: nn.Module, name: str, value: Tensor, target: Tensor, source_grid: Sequence[int] | Tensor | None = None
) -> Tensor:
    """Resize a tensor that depends on the image size, the patch size or the channels.

    Args:
        model: the model.
        name: the tensor's name in the model.
        value: the tensor in the checkpoint.
        target: the tensor in the model, for its shape.
        source_grid: (h, w) of the checkpoint's position table, if known.

    Returns:
        The tensor in the target's shape, or ``value`` itself if it needs no resizing or cannot be resized.
    """
    if name.endswith("embed.positions") and value.ndim == 2 and value.shape[1] == target.shape[1]:
        grid = getattr(model.get_submodule(name.rpartition(".")[0]), "grid", None)
        # A text tower's table has no grid.
        if grid is not None:
            return resize_position_table(value, grid, target.shape[0] - math.prod(grid), source_grid)
    if value.shape == target.shape or value.ndim != 4 or value.shape[0] != target.shape[0]:
        return value
    if _FIRST_CONVOLUTION.search(name):
        value = resize_channels(name, value, target.shape[1])
    if _PATCH_KERNEL.search(name):
        value = resize_patch_kernel(value, target.shape[2:])
    return value


def check_shape(source: str, name: str, value: Tensor, fitted: Tensor, target: Tensor) -> None:
    """Check that a tensor has the model's shape after :func:`fit`.

    Args:
        source: the checkpoint, for messages.
        name: the tensor's name in the model.
        value: the tensor in the checkpoint.
        fitted: the tensor after resizing.
        target: the tensor in the model.

    Raises:
        UserError: if the shapes differ. The message tells a head for another number of classes from another arch.
    """
    if fitted.shape == target.shape:
        return
    if HEAD.match(name) and value.ndim == target.ndim > 0 and value.shape[1:] == target.shape[1:]:
        raise UserError(
            f"checkpoint {source} has another head: {name} has {len(value)} rows in the file and {len(target)} in the model. "
            "Build the model for the file's classes or answers, or set new_head=True in its init_cfg to train a new head"
        )
    raise UserError(
        f"checkpoint {source} does not match the model: {name} has shape {shape_text(value.shape)} in the file and "
        f"{shape_text(target.shape)} in the model. Use the arch the checkpoint was trained with"
    )


def check_type(source: str, name: str, value: Tensor, target: Tensor) -> None:
    """Check that a tensor has the model's kind of numbers: floating point, integer or boolean. Precision may differ.

    Raises:
        UserError: if the kinds differ.
    """
    if value.is_floating_point() != target.is_floating_point() or (value.dtype == torch.bool) != (target.dtype == torch.bool):
        raise UserError(
            f"checkpoint {source} does not match the model or is damaged: {name} has type "
            f"{str(value.dtype).removeprefix('torch.')} in the file and {str(target.dtype).removeprefix('torch.')} in the model"
            ". Use the arch the checkpoint was trained with, or download the file again"
        )


def check_depth(source: str, target: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Check that each tower has the model's width and number of layers.

    Without this check, a checkpoint with more or fewer layers would only give missing or unused tensors.

    Raises:
        UserError: if a tower's sizes differ.
    """
    for tower in TOWERS:
        wanted, found = _tower_size(target, tower), _tower_size(state, tower)
        if wanted is not None and found is not None and wanted != found:
            raise UserError(
                f"checkpoint {source} does not match the model: its {tower} tower is {found[1]} wide with {found[0]} layers, "
                f"the model's is {wanted[1]} wide with {wanted[0]} layers. Use the arch the checkpoint was trained with"
            )


def _tower_size(state: Mapping[str, Tensor], tower: str) -> tuple[int, int] | None:
    """Return the number of layers and the width of a tower, or None if the state dict does not have the tower."""
    layers = {match[1] for name in state if (match := re.match(rf"{tower}\.layers\.(\d+)\.", name))}
    width = state.get(f"{tower}.layers.0.attn.out.weight")
    return (len(layers), width.shape[0]) if layers and width is not None and width.ndim == 2 else None
