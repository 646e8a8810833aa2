"""From a backbone to a file that is known to compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import nn
from torch.export import ExportedProgram

from mmbeit3.errors import UserError
from mmbeit3.export import onnx_file, torch_file
from mmbeit3.export.program import least_side, trace
from mmbeit3.export.verify import TOLERANCE, Difference, Run, compare
from mmbeit3.files import check_writable, write_atomically

__all__ = ["FORMATS", "Exported", "export_backbone"]


class _Format(NamedTuple):
    serialize: Callable[[ExportedProgram, int | None], bytes]
    load: Callable[[bytes], Run]


FORMATS = {
    "onnx": _Format(onnx_file.serialize, onnx_file.load),
    "torch": _Format(torch_file.serialize, torch_file.load),
}
"""Kinds of files by name."""


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: where.
        bytes: its size.
        differences: what each image size that was tried came to.
    """

    path: Path
    bytes: int
    differences: list[Difference]


def export_backbone(
    backbone: nn.Module, path: str | Path, to: str, size: tuple[int, int] = (224, 224), opset: int | None = None
) -> Exported:
    """Export a backbone, run both on several image sizes, and write the file if they agree.

    Args:
        backbone: a plain ViT or a ViTAdapter in float32 on the CPU.
        path: the file; replaced at once if it is there.
        to: one of :data:`FORMATS`.
        size: height and width in pixels to trace and try; others, also not square, are tried besides.
        opset: of ONNX.

    Raises:
        UserError: if something is missing or too small for that, the two disagree, or the file cannot be written. Then what
            was there stays.
    """
    form = FORMATS[to]
    if to == "onnx":
        # Before the work.
        onnx_file.check(backbone, opset)
    check_writable(path)
    content = form.serialize(trace(backbone, size), opset)
    differences = compare(backbone, form.load(content), _sizes(size, least_side(backbone)))
    if wrong := [difference for difference in differences if not difference.within]:
        raise UserError(f"the export differs from the backbone by more than {TOLERANCE:g}, nothing was written: {wrong[0]}")
    write_atomically(path, content)
    return Exported(Path(path), len(content), differences)


def _sizes(size: tuple[int, int], least: int) -> list[tuple[int, int, int]]:
    """Batch, height and width of what is tried: the size, a smaller one of another shape, one of odd sides, several images."""
    height, width = size
    return [(1, height, width), (3, max(least, height // 2), width), (2, height + 21, width + 46)]
