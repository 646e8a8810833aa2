"""Compare the outputs of an export with those of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmbeit3.export.graphs import TaskGraph

__all__ = ["TOLERANCE", "Difference", "Run", "compare_backbone_outputs", "compare_task_outputs"]

TOLERANCE = 1e-4
"""Largest allowed difference: absolute, or relative to the largest output value if that is above 1 (float32 precision)."""

Run = Callable[..., tuple[Tensor, ...]]
"""Function that runs an export: it takes the input tensors in the order of the graph and returns the outputs."""


@dataclass(frozen=True)
class Difference:
    """Difference between the outputs of an export and of the model for one input.

    Attributes:
        size: batch size, height and width of the image, or a description of the input.
        max_errors: largest absolute difference of each output.
        max_values: largest absolute value of each output of the model.
        outputs: names of the outputs.
        min_scale: differences are relative to the largest value, but at least to this value.
    """

    size: tuple[int, int, int] | str
    max_errors: tuple[float, ...]
    max_values: tuple[float, ...]
    outputs: tuple[str, ...]
    min_scale: float = 1.0

    @property
    def within(self) -> bool:
        """True if all outputs are within :data:`TOLERANCE`; False for NaN."""
        pairs = zip(self.max_errors, self.max_values, strict=True)
        return all(error <= TOLERANCE * max(self.min_scale, value) for error, value in pairs)

    def __str__(self) -> str:
        size = self.size if isinstance(self.size, str) else "{} x {}x{}".format(*self.size)
        outputs = ", ".join(f"{name} {error:.1e}" for name, error in zip(self.outputs, self.max_errors, strict=True))
        return f"{size}: largest difference {outputs} (values up to {max(self.max_values):.3g})"


def compare_backbone_outputs(backbone: nn.Module, run: Run, sizes: Sequence[tuple[int, int, int]]) -> list[Difference]:
    """Run a backbone and its export on random images and compare the outputs.

    Args:
        backbone: the backbone in evaluation mode on the CPU.
        run: the export.
        sizes: batch size, height and width of each input.

    Returns:
        One difference per size.

    Raises:
        ValueError: if the number or the shapes of the outputs differ.
    """
    generator = torch.Generator().manual_seed(0)
    channels = getattr(backbone, "in_channels", 3)
    found = []
    for batch, height, width in sizes:
        image = torch.randn(batch, channels, height, width, generator=generator)
        max_errors, max_values = _max_differences(backbone, run, (image,))
        outputs = tuple(f"map{index}" for index in range(len(max_values)))
        found.append(Difference((batch, height, width), max_errors, max_values, outputs))
    return found


def compare_task_outputs(graph: TaskGraph, run: Run, sizes: Sequence[tuple[int, int]]) -> list[Difference]:
    """Run a graph of a task model and its export on random inputs and compare the outputs.

    Args:
        graph: the graph.
        run: the export.
        sizes: batch size and number of text tokens of each input.

    Returns:
        One difference per size.

    Raises:
        ValueError: if the shape of the output differs.
    """
    generator = torch.Generator().manual_seed(0)
    found = [_max_differences(graph.module, run, graph.random(*size, generator)) for size in sizes]
    # Logits and unit vectors may be far below 1, in a single input also by chance: scale by the largest value of all inputs.
    min_scale = max(value for _, max_values in found for value in max_values)
    return [
        Difference(_describe(graph, *size), max_errors, max_values, (graph.output,), min_scale)
        for size, (max_errors, max_values) in zip(sizes, found, strict=True)
    ]


def _describe(graph: TaskGraph, batch: int, length: int) -> str:
    image = [f"{graph.size[0]}x{graph.size[1]}"] if "image" in graph.inputs else []
    text = [f"{length} tokens"] if "tokens" in graph.inputs else []
    return f"{graph.part} {batch} x {' and '.join(image + text)}".strip()


def _max_differences(module: nn.Module, run: Run, inputs: Sequence[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return for each output the largest absolute difference, and the largest absolute value of the module's output."""
    with torch.no_grad():
        returned = module(*inputs)
    expected = (returned,) if isinstance(returned, Tensor) else tuple(returned)
    found = run(*inputs)
    shapes, wanted = [tuple(output.shape) for output in found], [tuple(output.shape) for output in expected]
    if shapes != wanted:
        raise ValueError(
            f"the export gives outputs of {shapes} for inputs of {[tuple(each.shape) for each in inputs]}, the model {wanted}"
        )
    max_errors = tuple(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    return max_errors, tuple(float(output.abs().max()) for output in expected)
