"""Logits of the classes of an image, and label maps made of them with little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ClassLogits", "label_dtype"]

_CHUNK_VALUES = 24_000_000
"""Number of resized logits that are in memory at once: 96 MB."""


@dataclass(frozen=True)
class ClassLogits:
    """Logits of an image's classes at the resolution of the network.

    Attributes:
        values: float (C, h, w); a single channel is the foreground of a binary model.
        align_corners: setting of the interpolation.
        threshold: smallest probability of the foreground of a binary model.
    """

    values: Tensor
    align_corners: bool
    threshold: float

    def labels(self, size: tuple[int, int]) -> np.ndarray:
        """Resize the logits and return the class of each pixel, see mmseg's ``postprocess_result``.

        Args:
            size: height and width of the image.

        Returns:
            uint8 or uint16 (H, W).
        """
        count = len(self.values)
        chunk = max(1, _CHUNK_VALUES // (size[0] * size[1]))
        if chunk >= count:
            return self.decide(self.resized(size))
        best = labels = None
        for first in range(0, count, chunk):
            values, indices = self.resized(size, first, first + chunk).max(0)
            if best is None or labels is None:
                best, labels = values, indices.to(torch.int16)
                continue
            # The first of equal maxima wins, as in argmax.
            better = values > best
            labels = torch.where(better, (indices + first).to(torch.int16), labels)
            best = torch.where(better, values, best)
        assert labels is not None
        return labels.cpu().numpy().astype(label_dtype(count))

    def resized(self, size: tuple[int, int], first: int = 0, last: int | None = None) -> Tensor:
        """Return the logits of the classes from ``first`` to before ``last`` as float (C', H, W)."""
        values = self.values[None, first:last]
        if values.shape[2:] != size:
            values = F.interpolate(values, size, mode="bilinear", align_corners=self.align_corners)
        return values[0]

    def decide(self, values: Tensor) -> np.ndarray:
        """Return the class of each pixel for logits (C, H, W) that are already resized, such as averages over tiles."""
        if len(values) == 1:
            return (values[0].sigmoid() > self.threshold).cpu().numpy().astype(np.uint8)
        # argmax gives the same and takes five times as long on CPUs.
        return values.max(0).indices.cpu().numpy().astype(label_dtype(len(values)))


def label_dtype(classes: int) -> type[np.unsignedinteger[Any]]:
    """Return the type of label maps. The largest value means that a pixel has no class."""
    return np.uint8 if classes < 256 else np.uint16
