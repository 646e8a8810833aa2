"""Export a model to files, and check their outputs before anything is written."""

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
from mmbeit3.export.verify import TOLERANCE, Difference, Run, compare_backbone_outputs, compare_task_outputs
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
"""File formats by name: functions that write and run them."""


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: path of the file.
        bytes: size in bytes.
        differences: result of the comparison with the model, one per input size.
    """

    path: Path
    bytes: int
    differences: list[Difference]


def export_backbone(
    backbone: nn.Module, path: str | Path, to: str, size: tuple[int, int] = (224, 224), opset: int | None = None
) -> Exported:
    """Export a backbone, compare both on several image sizes, and write the file if they agree.

    Args:
        backbone: a plain ViT or a ViTAdapter in float32 on the CPU.
        path: the file; an existing one is replaced atomically.
        to: one of :data:`FORMATS`.
        size: height and width in pixels of the image to trace with. The comparison uses it and two other sizes.
        opset: version of the ONNX operators; default the first of ``OPSETS``, 20.

    Returns:
        The written file with the differences found.

    Raises:
        UserError: if a package is missing, the size is too small, the outputs differ, or the file cannot be written. An
            existing file stays unchanged then.
    """
    form = FORMATS[to]
    if to == "onnx":
        # Fail before the export, which may take minutes.
        onnx_file.check(backbone, opset)
    check_writable(path)
    content = form.serialize(trace(backbone, size), opset)
    differences = compare_backbone_outputs(backbone, form.load(content), _sizes(size, least_side(backbone)))
    _check_within(differences, "backbone")
    write_atomically(path, content)
    return Exported(Path(path), len(content), differences)


def export_task(
    model: TaskModel, path: str | Path, to: str, size: tuple[int, int] | None = None, opset: int | None = None
) -> list[Exported]:
    """Export a task model, compare both on several batches and text lengths, and write the files if they agree.

    Args:
        model: the model in float32 on the CPU; :func:`~mmbeit3.export.task_graphs` splits it into one graph per file.
        path: the file; an existing one is replaced atomically. If there are several files, each has the name of its part before
            the suffix: a dual encoder with ``model.onnx`` gives ``model-image.onnx`` and ``model-text.onnx``.
        to: one of :data:`FORMATS`.
        size: height and width in pixels, which are fixed in the files; default the image size of the model.
        opset: version of the ONNX operators; default the first of ``OPSETS``, 20.

    Returns:
        The written files with the differences found.

    Raises:
        UserError: if the model cannot be exported, a package is missing, outputs differ, or a file cannot be written. Existing
            files stay unchanged then.
    """
    path, form = Path(path), FORMATS[to]
    graphs = task_graphs(model, size)
    paths = [path.with_name(f"{path.stem}-{graph.part}{path.suffix}") if graph.part else path for graph in graphs]
    for graph, target in zip(graphs, paths, strict=True):
        if to == "onnx":
            onnx_file.check(graph.module, opset)
        check_writable(target)
    # Write only after all parts are verified.
    verified = []
    for graph in graphs:
        content = form.serialize(trace_task(graph), opset, (graph.output,))
        differences = compare_task_outputs(graph, form.load(content), _lengths(graph))
        _check_within(differences, "model")
        verified.append((content, differences))
    for target, (content, _) in zip(paths, verified, strict=True):
        write_atomically(target, content)
    pairs = zip(paths, verified, strict=True)
    return [Exported(target, len(content), differences) for target, (content, differences) in pairs]


def _check_within(differences: list[Difference], what: str) -> None:
    if wrong := [difference for difference in differences if not difference.within]:
        raise UserError(
            f"outputs of the export and the {what} differ by more than {TOLERANCE:g}, nothing was written: {wrong[0]}"
        )


def _lengths(graph: TaskGraph) -> list[tuple[int, int]]:
    """Return (batch size, tokens) of the inputs to compare: a text of full length, several padded ones, and short ones."""
    return [(1, graph.max_length), (3, max(1, graph.max_length - 3)), (2, min(4, graph.max_length))]


def _sizes(size: tuple[int, int], least: int) -> list[tuple[int, int, int]]:
    """Return (batch size, height, width) of the images to compare: ``size``, a lower image, and one with odd sides."""
    height, width = size
    return [(1, height, width), (3, max(least, height // 2), width), (2, height + 21, width + 46)]
