"""From a model to files that are known to compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import nn

from mmbeit3.errors import UserError
from mmbeit3.export import onnx_file, torch_file
from mmbeit3.export.graphs import TaskGraph, task_graphs
from mmbeit3.export.program import least_side, trace, trace_task
from mmbeit3.export.verify import TOLERANCE, Difference, Run, compare, compare_task
from mmbeit3.files import check_writable, write_atomically
from mmbeit3.tasks.base import TaskModel

__all__ = ["FORMATS", "Exported", "export_backbone", "export_task"]


class _Format(NamedTuple):
    serialize: Callable[..., bytes]
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
        differences: what each size that was tried came to.
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
    _check_within(differences, "backbone")
    write_atomically(path, content)
    return Exported(Path(path), len(content), differences)


def export_task(
    model: TaskModel, path: str | Path, to: str, size: tuple[int, int] | None = None, opset: int | None = None
) -> list[Exported]:
    """Export a task's model, run both on several batches and lengths of text, and write the files if they agree.

    Args:
        model: in float32 on the CPU; see :func:`~mmbeit3.export.task_graphs` for what becomes a file of its own.
        path: the file; replaced at once if it is there. Of several files each has its part's name before the ending:
            ``model-image.onnx`` and ``model-text.onnx`` for a dual encoder and ``model.onnx``.
        to: one of :data:`FORMATS`.
        size: height and width in pixels of the images that the files are for; default the model's.
        opset: of ONNX.

    Raises:
        UserError: if the model cannot be exported, something is missing, a part and its file disagree, or a file cannot be
            written. Then what was there stays.
    """
    path, form = Path(path), FORMATS[to]
    graphs = task_graphs(model, size)
    paths = [path.with_name(f"{path.stem}-{graph.part}{path.suffix}") if graph.part else path for graph in graphs]
    for graph, target in zip(graphs, paths, strict=True):
        if to == "onnx":
            onnx_file.check(graph.module, opset)
        check_writable(target)
    made = []
    for graph in graphs:
        content = form.serialize(trace_task(graph), opset, (graph.output,))
        differences = compare_task(graph, form.load(content), _lengths(graph))
        _check_within(differences, "model")
        made.append((content, differences))
    for target, (content, _) in zip(paths, made, strict=True):
        write_atomically(target, content)
    pairs = zip(paths, made, strict=True)
    return [Exported(target, len(content), differences) for target, (content, differences) in pairs]


def _check_within(differences: list[Difference], what: str) -> None:
    if wrong := [difference for difference in differences if not difference.within]:
        raise UserError(f"the export differs from the {what} by more than {TOLERANCE:g}, nothing was written: {wrong[0]}")


def _lengths(graph: TaskGraph) -> list[tuple[int, int]]:
    """Batch and tokens of what is tried: a longest text, several that are padded, and short ones."""
    return [(1, graph.longest), (3, max(1, graph.longest - 3)), (2, min(4, graph.longest))]


def _sizes(size: tuple[int, int], least: int) -> list[tuple[int, int, int]]:
    """Batch, height and width of what is tried: the size, a smaller one of another shape, one of odd sides, several images."""
    height, width = size
    return [(1, height, width), (3, max(least, height // 2), width), (2, height + 21, width + 46)]
