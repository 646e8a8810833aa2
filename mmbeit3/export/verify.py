"""Whether an exported backbone computes what the backbone computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["TOLERANCE", "Difference", "Run", "compare"]

TOLERANCE = 1e-4
"""What an output may differ by, as a fraction of its largest value where that is above 1: float32 has no more digits."""

Run = Callable[[Tensor], tuple[Tensor, ...]]
"""An exported backbone: (B, in_channels, H, W) to its maps."""


@dataclass(frozen=True)
class Difference:
    """What came of one image size.

    Attributes:
        size: batch, height and width.
        largest: the largest absolute difference of each output.
        values: the largest absolute value of each output of the backbone.
    """

    size: tuple[int, int, int]
    largest: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def within(self) -> bool:
        """Whether all outputs are within :data:`TOLERANCE`; NaN is not."""
        return all(off <= TOLERANCE * max(1.0, value) for off, value in zip(self.largest, self.values, strict=True))

    def __str__(self) -> str:
        batch, height, width = self.size
        maps = ", ".join(f"map{i} {off:.1e}" for i, off in enumerate(self.largest))
        return f"{batch} x {height}x{width}: largest difference {maps} (values up to {max(self.values):.3g})"


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


def _compare(backbone: nn.Module, run: Run, image: Tensor) -> Difference:
    with torch.no_grad():
        expected = tuple(backbone(image))
    found = run(image)
    shapes, wanted = [tuple(output.shape) for output in found], [tuple(output.shape) for output in expected]
    if shapes != wanted:
        raise ValueError(f"the export gives {shapes} for an image of {tuple(image.shape)}, the backbone {wanted}")
    largest = tuple(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    batch, _, height, width = image.shape
    return Difference((batch, height, width), largest, tuple(float(output.abs().max()) for output in expected))
