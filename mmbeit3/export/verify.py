"""Whether an export computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmbeit3.export.graphs import TaskGraph

__all__ = ["TOLERANCE", "Difference", "Run", "compare", "compare_task"]

TOLERANCE = 1e-4
"""What an output may differ by, as a fraction of its largest value where that is above 1: float32 has no more digits."""

Run = Callable[..., tuple[Tensor, ...]]
"""An export: an image (B, in_channels, H, W), and whatever else there is, to the outputs."""


@dataclass(frozen=True)
class Difference:
    """What came of one size.

    Attributes:
        size: batch, and height and width of the image; or what was tried, in words.
        largest: the largest absolute difference of each output.
        values: the largest absolute value of each output of the model.
        outputs: names.
        least: differences are a fraction of the largest value, or of this where that is below.
    """

    size: tuple[int, int, int] | str
    largest: tuple[float, ...]
    values: tuple[float, ...]
    outputs: tuple[str, ...]
    least: float = 1.0

    @property
    def within(self) -> bool:
        """Whether all outputs are within :data:`TOLERANCE`; NaN is not."""
        return all(off <= TOLERANCE * max(self.least, value) for off, value in zip(self.largest, self.values, strict=True))

    def __str__(self) -> str:
        tried = self.size if isinstance(self.size, str) else "{} x {}x{}".format(*self.size)
        outputs = ", ".join(f"{name} {off:.1e}" for name, off in zip(self.outputs, self.largest, strict=True))
        return f"{tried}: largest difference {outputs} (values up to {max(self.values):.3g})"


def compare(backbone: nn.Module, run: Run, sizes: Sequence[tuple[int, int, int]]) -> list[Difference]:
    """Run a backbone and its export on random images and compare.

    Args:
        backbone: in evaluation mode, on the CPU.
        run: the export.
        sizes: batch, height and width of each run.

    Raises:
        ValueError: if the export gives another number of outputs, or of other shapes.
    """
    generator = torch.Generator().manual_seed(0)
    channels = getattr(backbone, "in_channels", 3)
    return [_compare(backbone, run, torch.randn(size[0], channels, *size[1:], generator=generator)) for size in sizes]


def compare_task(graph: TaskGraph, run: Run, sizes: Sequence[tuple[int, int]]) -> list[Difference]:
    """Run a part of a task's model and its export on random inputs and compare.

    Args:
        graph: the part.
        run: the export.
        sizes: batch, and tokens of the texts, of each run.

    Raises:
        ValueError: as :func:`compare`.
    """
    generator = torch.Generator().manual_seed(0)
    found = [_differences(graph.module, run, graph.random(*size, generator)) for size in sizes]
    # Scores and unit vectors may all be small; and those of one run by chance.
    least = max(value for _, values in found for value in values)
    return [
        Difference(_tried(graph, *size), largest, values, (graph.output,), least)
        for size, (largest, values) in zip(sizes, found, strict=True)
    ]


def _tried(graph: TaskGraph, batch: int, length: int) -> str:
    image = [f"{graph.size[0]}x{graph.size[1]}"] if "image" in graph.inputs else []
    text = [f"{length} tokens"] if "tokens" in graph.inputs else []
    return f"{graph.part} {batch} x {' and '.join(image + text)}".strip()


def _compare(backbone: nn.Module, run: Run, image: Tensor) -> Difference:
    largest, values = _differences(backbone, run, (image,))
    batch, _, height, width = image.shape
    return Difference((batch, height, width), largest, values, tuple(f"map{index}" for index in range(len(values))))


def _differences(module: nn.Module, run: Run, inputs: Sequence[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The largest absolute difference of each output, and the module's largest absolute value."""
    with torch.no_grad():
        given = module(*inputs)
    expected = (given,) if isinstance(given, Tensor) else tuple(given)
    found = run(*inputs)
    shapes, wanted = [tuple(output.shape) for output in found], [tuple(output.shape) for output in expected]
    if shapes != wanted:
        raise ValueError(
            f"the export gives {shapes} for inputs of {[tuple(each.shape) for each in inputs]}, the model {wanted}"
        )
    largest = tuple(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    return largest, tuple(float(output.abs().max()) for output in expected)
