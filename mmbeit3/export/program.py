"""Trace models with ``torch.export``: a backbone for images of any size, and the graphs of a task model.

``torch.export`` specialises a program to the sizes of the example inputs unless a dimension is declared as dynamic. Here these
are the batch, the height and width of a backbone's image, and the length of a text.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmbeit3.errors import UserError
from mmbeit3.export.graphs import TaskGraph
from mmbeit3.models.backbones import PlainViT, ViTAdapter

__all__ = ["least_side", "trace", "trace_task"]

_COARSEST_STRIDE = 32
"""Stride in pixels of the coarsest feature map of a ViTAdapter."""


def least_side(backbone: nn.Module) -> int:
    """Return the smallest height and width in pixels that the graph of a backbone accepts: two cells of its coarsest grid.

    ``torch.export`` specialises dimensions of size 1, so a grid of a single cell would need another graph.

    Raises:
        ValueError: if the backbone is not a plain ViT or a ViTAdapter.
    """
    if isinstance(backbone, ViTAdapter):
        return max(_COARSEST_STRIDE, backbone.vit.patch_size) + 1
    if isinstance(backbone, PlainViT):
        return backbone.patch_size + 1
    raise ValueError(f"only plain ViTs and ViTAdapter can be exported, not {type(backbone).__name__}")


def trace(backbone: nn.Module, size: tuple[int, int] = (224, 224)) -> ExportedProgram:
    """Trace a backbone for inference with dynamic batch size, height and width.

    The graph contains only PyTorch's own operators and computes in float32. As in the backbone, it resizes the position
    embeddings to the image size, and pads sides that are not a multiple of the patch size.

    Args:
        backbone: a plain ViT or a ViTAdapter; it is set to evaluation mode.
        size: height and width in pixels of the image to trace with.

    Returns:
        A program with one input ``image`` (B, in_channels, H, W), normalised, that returns the feature maps of the backbone.
        Height and width must be at least :func:`least_side`.

    Raises:
        UserError: if the size is too small, or PyTorch is too old.
    """
    _check_torch()
    least = least_side(backbone)
    if min(size) < least:
        raise UserError(f"an image of {size[0]}x{size[1]} is too small to export with: give sides of at least {least} pixels")
    # Batch 2, because torch.export specialises dimensions of size 1.
    image = torch.zeros(2, cast(int, backbone.in_channels), *size)
    sides = {0: Dim("batch", min=1), 2: Dim("height", min=least), 3: Dim("width", min=least)}
    return _export(backbone.eval(), (image,), (sides,))


def trace_task(graph: TaskGraph) -> ExportedProgram:
    """Trace a graph of a task model for inference with dynamic batch size and text length, and a fixed image size.

    Args:
        graph: the graph.

    Returns:
        A program with the inputs ``graph.inputs`` that returns one tensor.

    Raises:
        UserError: if PyTorch is too old.
    """
    _check_torch()
    batch = Dim("batch", min=1)
    text = {0: batch, 1: Dim("length", min=1, max=graph.max_length)} if graph.max_length else {}
    open_sides = tuple(text if name in ("tokens", "padding_mask") else {0: batch} for name in graph.inputs)
    inputs = graph.random(2, max(2, graph.max_length // 2), torch.Generator().manual_seed(0))
    return _export(graph.module, inputs, open_sides)


def _check_torch() -> None:
    if not hasattr(torch.compiler, "is_exporting"):
        raise UserError(f"export needs PyTorch 2.7 or newer, but {torch.__version__} is installed: upgrade torch")


def _export(module: nn.Module, inputs: tuple[Tensor, ...], sides: tuple[dict[int, Any], ...]) -> ExportedProgram:
    with torch.no_grad():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=sides, strict=False)
    for node in program.graph.nodes:
        # Stack traces contain source code and local file paths: keep them out of the file.
        node.meta.pop("stack_trace", None)
    return program
