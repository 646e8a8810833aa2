"""Binary masks of objects, stored as crops of their image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Mask", "crop_mask", "paste_mask", "row_bands"]

_BAND_PIXELS = 2_000_000
"""Number of pixels that are computed at once, so that memory does not grow with the image."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask, stored as the part of the image that holds it. Full masks of 100 objects in a 24-megapixel image would
    take 2.4 GB.

    Attributes:
        pixels: bool (h, w), the crop.
        left: column of the crop's left side in the image.
        top: row of the crop's upper side in the image.
    """

    pixels: np.ndarray
    left: int
    top: int

    @property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return int(np.count_nonzero(self.pixels))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, upper, right and lower side of the crop in pixels of the image; right and lower are exclusive."""
        height, width = self.pixels.shape
        return float(self.left), float(self.top), float(self.left + width), float(self.top + height)

    def full(self, size: tuple[int, int]) -> np.ndarray:
        """Return the mask as bool (H, W).

        Args:
            size: height and width of the image.
        """
        full = np.zeros(size, bool)
        height, width = self.pixels.shape
        full[self.top : self.top + height, self.left : self.left + width] = self.pixels
        return full

    def rle(self, size: tuple[int, int]) -> dict[str, Any]:
        """Return COCO's compressed run-length encoding of the mask, ready for JSON.

        Args:
            size: height and width of the image.
        """
        from pycocotools import mask as coco_mask

        height, width = size
        rows, columns = self.pixels.shape
        # The encoding runs down the columns of the image, so only the crop's columns have runs.
        strip = np.zeros((columns, height), bool)
        strip[:, self.top : self.top + rows] = self.pixels.T
        before = self.left * height
        edge = np.int8(0)
        changes = np.flatnonzero(np.diff(strip.reshape(-1).view(np.int8), prepend=edge, append=edge)) + before
        counts = np.diff(changes, prepend=0, append=height * width).tolist()
        if len(counts) > 1 and not counts[-1]:
            # The mask ends with the last pixel of the image.
            counts.pop()
        encoded: dict[str, Any] = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def crop_mask(pixels: np.ndarray, left: int = 0, top: int = 0) -> Mask:
    """Cut a mask to the smallest crop with all of its pixels.

    Args:
        pixels: bool (h, w).
        left: column of ``pixels`` in the image.
        top: row of ``pixels`` in the image.

    Returns:
        The mask; a crop of 0 x 0 pixels if no pixel is set.
    """
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return Mask(np.zeros((0, 0), bool), left, top)
    (first, last), (start, stop) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    return Mask(np.ascontiguousarray(pixels[first:last, start:stop]), left + int(start), top + int(first))


def paste_mask(probabilities: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Mask:
    """Resize a mask head's output to its box, and binarise it. The pixels are those of mmdet's pasting.

    Args:
        probabilities: float (h, w) on the CPU, the head's output for one object.
        box: float (4,) on the CPU, x1, y1, x2, y2 in pixels of the image.
        size: height and width of the image.
        threshold: smallest probability of the mask's pixels.
    """
    height, width = size
    x1, y1, x2, y2 = box.tolist()
    # One pixel more on each side, because half of an outer pixel of the head's output lies beyond its centre.
    left, top = max(0, int(np.floor(x1)) - 1), max(0, int(np.floor(y1)) - 1)
    right, bottom = min(width, int(np.ceil(x2)) + 1), min(height, int(np.ceil(y2)) + 1)
    if right <= left or bottom <= top:
        return Mask(np.zeros((0, 0), bool), left, top)
    columns = _grid(left, right, box[0], box[2])
    pixels = np.empty((bottom - top, right - left), bool)
    for first, last in row_bands(bottom - top, right - left):
        rows = _grid(top + first, top + last, box[1], box[3])
        grid = torch.stack((columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))), -1)
        values = F.grid_sample(probabilities[None, None].float(), grid[None], align_corners=False)[0, 0]
        pixels[first:last] = (values >= threshold).numpy()
    return crop_mask(pixels, left, top)


def row_bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last row + 1 of bands of rows that together cover an image, for work that needs much memory."""
    rows = max(1, _BAND_PIXELS // max(1, width))
    for first in range(0, height, rows):
        yield first, min(height, first + rows)


def _grid(first: int, last: int, start: Tensor, stop: Tensor) -> Tensor:
    """Return the positions of pixel centres within a box, from -1 to 1."""
    centres = torch.arange(first, last, dtype=torch.float32) + 0.5
    positions = (centres - start) / (stop - start) * 2 - 1
    return positions.masked_fill(positions.isinf(), 0)
