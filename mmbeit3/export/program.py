"""The graph of a backbone, for images of any size, and of a task's model."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmbeit3.errors import UserError
from mmbeit3.export.graphs import TaskGraph
from mmbeit3.models.backbones import PlainViT, ViTAdapter

__all__ = ["least_side", "trace", "trace_task"]

_COARSEST = 32


def least_side(backbone: nn.Module) -> int:
    """The smallest height and width in pixels that a backbone's graph takes: two cells of its coarsest grid."""
    if isinstance(backbone, ViTAdapter):
        return max(_COARSEST, backbone.vit.patch_size) + 1
    if isinstance(backbone, PlainViT):
        return backbone.patch_size + 1
    raise ValueError(f"only plain ViTs and ViTAdapter can be exported, not {type(backbone).__name__}")


def trace(backbone: nn.Module, size: tuple[int, int] = (224, 224)) -> ExportedProgram:
    """Trace a backbone for inference; batch, height and width stay open.

    The graph has PyTorch's own operators only. It computes in float32 whatever the images' size: positions are resized in it,
    and sides that are no multiple of a patch are padded, as in the backbone itself.

    Args:
        backbone: a plain ViT or a ViTAdapter; put into evaluation mode.
        size: height and width in pixels of the image to trace with.

    Returns:
        A program of one input ``image`` (B, in_channels, H, W), normalised, giving the backbone's maps. Height and width must
        be at least :func:`least_side`.

    Raises:
        UserError: if the size is too small, or this PyTorch is too old.
    """
    _check_torch()
    least = least_side(backbone)
    if min(size) < least:
        raise UserError(f"an image of {size[0]}x{size[1]} is too small to export with: both sides must have {least} pixels")
    image = torch.zeros(2, cast(int, backbone.in_channels), *size)
    sides = {0: Dim("batch", min=1), 2: Dim("height", min=least), 3: Dim("width", min=least)}
    return _export(backbone.eval(), (image,), (sides,))


def trace_task(graph: TaskGraph) -> ExportedProgram:
    """Trace a part of a task's model for inference; batch and length of texts stay open, the images' size does not.

    Args:
        graph: the part.

    Returns:
        A program of ``graph.inputs`` that gives one tensor.

    Raises:
        UserError: if this PyTorch is too old.
    """
    _check_torch()
    batch = Dim("batch", min=1)
    text = {0: batch, 1: Dim("length", min=1, max=graph.longest)} if graph.longest else {}
    open_sides = tuple(text if name in ("tokens", "padding_mask") else {0: batch} for name in graph.inputs)
    inputs = graph.random(2, max(2, graph.longest // 2), torch.Generator().manual_seed(0))
    return _export(graph.module, inputs, open_sides)


def _check_torch() -> None:
    if not hasattr(torch.compiler, "is_exporting"):
        raise UserError(f"export needs PyTorch 2.7 or newer, this is {torch.__version__}: upgrade torch")


def _export(module: nn.Module, inputs: tuple[Tensor, ...], sides: tuple[dict[int, Any], ...]) -> ExportedProgram:
    with torch.no_grad():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=sides, strict=False)
    for node in program.graph.nodes:
        # Where each operator was called: lines of code, and paths of the machine.
        node.meta.pop("stack_trace", None)
    return program
