"""Logits of the classes of an image, and label maps made of them with little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ClassLogits", "label_dtype"]

_LARGEST = 24_000_000
"""Largest number of resized logits that are computed at once: 96 MB."""


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
        if count * size[0] * size[1] <= _LARGEST:
            return self.decide(self.resized(size))
        # One class at a time, with two maps of floats in memory.
        best = self.resized(size, 0, 1)[0].clone()
        labels = torch.zeros(size, dtype=torch.uint8 if count < 256 else torch.int16, device=best.device)
        for label in range(1, count):
            values = self.resized(size, label, label + 1)[0]
            # The first of equal maxima wins, as in argmax.
            labels.masked_fill_(values > best, label)
            torch.maximum(best, values, out=best)
        return labels.cpu().numpy().astype(label_dtype(count), copy=False)

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
