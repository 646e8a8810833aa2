"""Tiled prediction of large images: windows that overlap, and merging of what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from mmbeit3.errors import UserError
from mmbeit3.inference.found import FoundObjects
from mmbeit3.inference.masks import Mask

__all__ = ["Tiling", "Window", "merge_objects"]

_EDGE = 2.0
"""Distance in pixels below which a box touches the side of its window."""
_SAME = 0.5
"""Part of a box, or intersection over union of two complete boxes, above which two boxes of one class are one object."""


@dataclass(frozen=True)
class Window:
    """A part of an image: left, upper, right and lower side in pixels; right and lower are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Tiling:
    """Size of the windows of large images.

    Attributes:
        size: side of a window in pixels of the image.
        overlap: pixels that neighbours share at least. Objects up to this size are complete in some window.

    Raises:
        UserError: if the overlap is not smaller than the window.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 32:
            raise UserError(f"tile must be a whole number of pixels from 32, got {self.size!r}")
        if type(self.overlap) is not int or not 0 <= self.overlap < self.size:
            raise UserError(
                f"overlap must be a whole number from 0 to below the tile's {self.size} pixels, got {self.overlap!r}: give a "
                "larger tile or a smaller overlap"
            )

    def windows(self, size: tuple[int, int]) -> list[Window]:
        """Return the windows that cover an image, row by row. All have the same size, unless the image is smaller.

        Args:
            size: height and width of the image.
        """
        rows, columns = (self._starts(length) for length in size)
        height, width = (min(self.size, length) for length in size)
        return [Window(left, top, left + width, top + height) for top in rows for left in columns]

    def _starts(self, length: int) -> list[int]:
        """Return the first pixels of windows, at even distances, so that the last one ends at ``length``."""
        free = length - self.size
        if free <= 0:
            return [0]
        steps = -(-free // (self.size - self.overlap))
        return [round(free * step / steps) for step in range(steps + 1)]


def merge_objects(parts: Sequence[tuple[Window, FoundObjects]], size: tuple[int, int]) -> FoundObjects:
    """Move the objects of windows to their place in the image, and keep one of those that several windows found.

    This is non-maximum suppression per class between boxes of different windows. Boxes that the side of a window cuts off come
    last, whatever their scores, and are suppressed if another box has more than half of their area. Complete boxes suppress
    each other by intersection over union, so that a small object in front of a large one stays.

    Args:
        parts: windows and their objects; the whole image may be one of the windows.
        size: height and width of the image.

    Returns:
        The objects, sorted by score.
    """
    moved = [_move(found, window) for window, found in parts]
    boxes, scores, labels = (np.concatenate([getattr(part, name) for part in moved]) for name in ("boxes", "scores", "labels"))
    masks = None
    if all(part.masks is not None for part in moved):
        masks = tuple(mask for part in moved for mask in part.masks or ())
    everything = FoundObjects(boxes, scores, labels, masks)
    source = np.repeat(np.arange(len(moved)), [len(part.boxes) for part in moved])
    cut = np.concatenate([_is_cut(part.boxes, window, size) for part, (window, _) in zip(moved, parts, strict=True)])
    # Complete boxes first, then by score.
    order = np.lexsort((-scores, cut))
    kept: list[int] = []
    for label in np.unique(labels).tolist():
        chosen = order[labels[order] == label]
        kept += chosen[_suppress(boxes[chosen], cut[chosen], source[chosen])].tolist()
    keep = np.array(kept, np.int64)
    return everything.pick(keep).sorted()


def _move(found: FoundObjects, window: Window) -> FoundObjects:
    shift = np.array([window.left, window.top] * 2, np.float32)
    masks = found.masks
    if masks is not None:
        masks = tuple(Mask(mask.pixels, mask.left + window.left, mask.top + window.top) for mask in masks)
    return FoundObjects(found.boxes + shift, found.scores, found.labels, masks)


def _is_cut(boxes: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return True for boxes that touch a side of their window that is not a side of the image."""
    height, width = size
    return (
        ((boxes[:, 0] < window.left + _EDGE) & (window.left > 0))
        | ((boxes[:, 1] < window.top + _EDGE) & (window.top > 0))
        | ((boxes[:, 2] > window.right - _EDGE) & (window.right < width))
        | ((boxes[:, 3] > window.bottom - _EDGE) & (window.bottom < height))
    )


def _suppress(boxes: np.ndarray, cut: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the indices that non-maximum suppression keeps.

    Args:
        boxes: (N, 4), best first.
        cut: bool (N,), True for boxes that their window cuts off.
        source: (N,), window of each box.
    """
    corners = torch.from_numpy(boxes).double()
    area = (corners[:, 2:] - corners[:, :2]).clamp(min=0).prod(1)
    iou = box_iou(corners, corners)
    # Intersection from the intersection over union.
    shared = iou * (area[:, None] + area[None]) / (1 + iou) / area[None].clamp(min=1e-9)
    same = np.where(cut[None], shared > _SAME, iou > _SAME) & (source[:, None] != source[None])
    alive = np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if alive[row]:
            alive &= ~same[row]
    return np.flatnonzero(alive)
