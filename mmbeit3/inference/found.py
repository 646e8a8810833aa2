"""What a model found in an image or in a part of it, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmbeit3.inference.masks import Mask

__all__ = ["FoundObjects", "FoundSegments"]


@dataclass(frozen=True)
class FoundObjects:
    """Objects as arrays, see :class:`~mmbeit3.inference.results.Objects`."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: tuple[Mask, ...] | None

    def pick(self, keep: np.ndarray) -> FoundObjects:
        """Return the objects of given indices, in their order."""
        masks = None if self.masks is None else tuple(self.masks[index] for index in keep.tolist())
        return FoundObjects(self.boxes[keep], self.scores[keep], self.labels[keep], masks)

    def sorted(self, score: float = 0.0) -> FoundObjects:
        """Return the objects with at least a score, highest first."""
        order = np.argsort(-self.scores, kind="stable")
        return self.pick(order[self.scores[order] >= score])


@dataclass(frozen=True)
class FoundSegments:
    """Panoptic segments as arrays: ids (H, W), and for each id from 1 its class, kind and score."""

    ids: np.ndarray
    labels: tuple[int, ...]
    things: tuple[bool, ...]
    scores: tuple[float, ...] | None
