"""The graph of a backbone, for images of any size."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from mmbeit3.errors import UserError
from mmbeit3.models.backbones import PlainViT, ViTAdapter

__all__ = ["least_side", "trace"]

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
    if not hasattr(torch.compiler, "is_exporting"):
        raise UserError(f"export needs PyTorch 2.7 or newer, this is {torch.__version__}: upgrade torch")
    least = least_side(backbone)
    if min(size) < least:
        raise UserError(f"an image of {size[0]}x{size[1]} is too small to export with: both sides must have {least} pixels")
    image = torch.zeros(2, cast(int, backbone.in_channels), *size)
    sides = {0: Dim("batch", min=1), 2: Dim("height", min=least), 3: Dim("width", min=least)}
    with torch.no_grad():
        program = torch.export.export(backbone.eval(), (image,), dynamic_shapes=(sides,), strict=False)
    for node in program.graph.nodes:
        # Where each operator was called: lines of code, and paths of the machine.
        node.meta.pop("stack_trace", None)
    return program
