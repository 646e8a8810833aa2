"""Panoptic quality (arXiv 1801.00868) by COCO's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["VOID", "PanopticStatistics", "Segment", "match_segments", "mean_quality"]

VOID = 0
"""Id of pixels that belong to no segment."""


class Segment(NamedTuple):
    """Category id of a segment; ``crowd`` is True for a group of objects that are not annotated one by one."""

    category: int
    crowd: bool = False


@dataclass
class PanopticStatistics:
    """Counts of one category, summed over images.

    Attributes:
        iou: sum of the IoU of the matched segments.
        tp, fp, fn: number of matched, of unmatched predicted and of unmatched true segments.
    """

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: PanopticStatistics) -> PanopticStatistics:
        return PanopticStatistics(self.iou + other.iou, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def seen(self) -> bool:
        """True if the category occurs in ground truth or prediction; other categories do not enter averages."""
        return bool(self.tp + self.fp + self.fn)

    def quality(self) -> tuple[float, float, float]:
        """Return panoptic, segmentation and recognition quality, each from 0 to 1; zeros for a category that does not occur."""
        if not self.seen:
            return 0.0, 0.0, 0.0
        total = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return self.iou / total, self.iou / self.tp if self.tp else 0.0, self.tp / total


def match_segments(
    truth: np.ndarray,
    truth_segments: Mapping[int, Segment],
    predicted: np.ndarray,
    predicted_segments: Mapping[int, Segment],
) -> dict[int, PanopticStatistics]:
    """Match the predicted and true segments of one image.

    Two segments match if they have the same category and their IoU is above 0.5. Predicted pixels that are void in the ground
    truth do not count for the IoU. A crowd is never a false negative. An unmatched prediction is not a false positive if more
    than half of it lies on void or on crowds of its category.

    Args:
        truth: true segment ids (H, W), 0 for void.
        truth_segments: true segments by id.
        predicted: predicted segment ids (H, W), 0 for void.
        predicted_segments: predicted segments by id.

    Returns:
        Category id to statistics.

    Raises:
        ValueError: if the sizes differ, or a map contains an id that is not in its segments.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the prediction has {predicted.shape} pixels, but the ground truth has {truth.shape}")
    for name, ids, segments in (("ground truth", truth, truth_segments), ("prediction", predicted, predicted_segments)):
        if unknown := set(np.unique(ids).tolist()) - segments.keys() - {VOID}:
            raise ValueError(f"the {name} has pixels with segment ids {sorted(unknown)}, but its list of segments lacks them")
    true_area, predicted_area = _areas(truth), _areas(predicted)
    overlaps = _overlaps(truth, predicted)
    statistics: dict[int, PanopticStatistics] = {}

    def add(category: int, **counts: float) -> None:
        statistics[category] = statistics.get(category, PanopticStatistics()) + PanopticStatistics(**counts)  # type: ignore[arg-type]

    matched_true, matched_predicted = set(), set()
    for (t, p), overlap in overlaps.items():
        if VOID in (t, p) or truth_segments[t].crowd or truth_segments[t].category != predicted_segments[p].category:
            continue
        union = true_area[t] + predicted_area[p] - overlap - overlaps.get((VOID, p), 0)
        if overlap > 0.5 * union:
            matched_true.add(t)
            matched_predicted.add(p)
            add(truth_segments[t].category, iou=overlap / union, tp=1)
    for t, segment in truth_segments.items():
        if t in true_area and t not in matched_true and not segment.crowd:
            add(segment.category, fn=1)
    for p, segment in predicted_segments.items():
        if p not in predicted_area or p in matched_predicted:
            continue
        crowds = [t for t, true in truth_segments.items() if true.crowd and true.category == segment.category]
        excused = sum(overlaps.get((t, p), 0) for t in [VOID, *crowds])
        if excused <= 0.5 * predicted_area[p]:
            add(segment.category, fp=1)
    return statistics


def mean_quality(statistics: Iterable[PanopticStatistics]) -> tuple[float, float, float]:
    """Return mean panoptic, segmentation and recognition quality over the categories that occur, each from 0 to 1."""
    qualities = [category.quality() for category in statistics if category.seen]
    if not qualities:
        return 0.0, 0.0, 0.0
    pq, sq, rq = np.mean(qualities, axis=0).tolist()
    return pq, sq, rq


def _areas(ids: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(ids, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _overlaps(truth: np.ndarray, predicted: np.ndarray) -> dict[tuple[int, int], int]:
    """Count the pixels that each pair of true and predicted id shares."""
    # One number per pair, because sorting numbers is about a hundred times faster than sorting pairs.
    base = int(predicted.max(initial=0)) + 1
    pairs, counts = np.unique(truth.astype(np.int64) * base + predicted, return_counts=True)
    return {divmod(pair, base): count for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)}
