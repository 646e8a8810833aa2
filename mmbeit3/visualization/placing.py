"""Positions of labels in pictures: beside boxes, and inside of regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

__all__ = ["place_beside", "place_inside"]

_MAX_OVERLAP = 0.3
"""Largest share of a label that other labels may cover."""
_MAX_HIDDEN = 1.0
"""A label is left out if it hides more than this: the sum over all boxes of the share of the box that is hidden."""
_SEARCH_SIDE = 480
"""Regions are searched for a position in a map of at most this many pixels in height and width."""


def place_beside(
    boxes: np.ndarray, sizes: np.ndarray, picture: tuple[int, int], order: Sequence[int] | np.ndarray
) -> list[tuple[int, int] | None]:
    """Return positions of labels at the corners of their boxes that cover other labels and objects as little as possible.

    Args:
        boxes: int (N, 4), left, top, right, bottom in pixels, inside of the picture.
        sizes: int (N, 2), width and height of the labels in pixels.
        picture: height and width.
        order: indices of the boxes; the first one chooses first.

    Returns:
        Left and top of each label, inside of the picture; None for labels that would cover other labels or objects.
    """
    height, width = picture
    area = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1)
    placed = np.empty((0, 4), np.int64)
    positions: list[tuple[int, int] | None] = [None] * len(boxes)
    for index in order:
        (left, top, right, bottom), (w, h) = boxes[index], sizes[index]
        if w > width or h > height:
            continue
        corners = np.array(
            [
                (left, top - h),
                (left, top),
                (left, bottom),
                (right - w, top - h),
                (right - w, bottom),
                (left, bottom - h),
                (right - w, top),
                (right, top),
                (left - w, top),
            ]
        )
        inside = np.clip(corners, 0, (width - w, height - h))
        candidates = np.concatenate([inside, inside + sizes[index]], axis=1)
        covered = _intersections(candidates, placed).sum(1) / (w * h)
        hidden = (_intersections(candidates, boxes) / area).sum(1)
        moved = np.abs(corners - inside).sum(1) / h
        cost = 4 * covered + hidden + 0.1 * moved + 0.04 * np.arange(len(corners))
        best = int(cost.argmin())
        if covered[best] <= _MAX_OVERLAP and hidden[best] <= _MAX_HIDDEN:
            positions[index] = (int(inside[best, 0]), int(inside[best, 1]))
            placed = np.concatenate([placed, candidates[best : best + 1]])
    return positions


def place_inside(indices: np.ndarray, size_of: Callable[[int], tuple[int, int]], count: int) -> dict[int, tuple[int, int]]:
    """Return positions of labels inside of the largest connected part of their regions.

    Args:
        indices: map of the regions (H, W), ints.
        size_of: returns width and height in pixels of the label of a region.
        count: number of regions; larger indices are no regions.

    Returns:
        Left and top of the labels by the indices of the regions, without the labels that do not fit.
    """
    step = -(-max(indices.shape) // _SEARCH_SIDE)
    small = np.ascontiguousarray(indices[::step, ::step])
    positions = {}
    for index in np.unique(small):
        if index >= count:
            continue
        width, height = size_of(int(index))
        # One more on each side: a region of the small map may end anywhere between two of its pixels.
        w, h = (-(-side // step) + 2 for side in (width, height))
        _, parts, stats, _ = cv2.connectedComponentsWithStats((small == index).astype(np.uint8), connectivity=4)
        if len(stats) < 2:
            continue
        part = (parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
        anchor = (w // 2, h // 2)
        centres = cv2.erode(part, np.ones((h, w), np.uint8), anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        if not centres.any():
            continue
        depth = cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3)[1:-1, 1:-1] * centres
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        positions[int(index)] = (int(column - anchor[0] + 1) * step, int(row - anchor[1] + 1) * step)
    return positions


def _intersections(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the areas (N, M) in which boxes (N, 4) and (M, 4) overlap."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(2)
