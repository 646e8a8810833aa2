"""COCO's AP of each class and object size."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

__all__ = ["COLUMNS", "ClassAP", "class_table"]

COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


@dataclass(frozen=True)
class ClassAP:
    """AP of one class.

    Attributes:
        name: name of the class; ``all`` for the mean over classes.
        objects: number of objects.
        values: AP in percent for each of :data:`COLUMNS`; None if there are no such objects. ``APs`` covers objects below
            32 x 32 pixels, ``APl`` objects from 96 x 96 pixels.
    """

    name: str
    objects: int
    values: tuple[float | None, ...]


def class_table(truth: COCO, results: COCO, iou_type: str) -> list[ClassAP]:
    """Evaluate detections by pycocotools.

    Args:
        truth: annotations.
        results: detections.
        iou_type: ``bbox`` or ``segm``.

    Returns:
        One entry per class, in the order of category ids, then the mean over all classes.
    """
    evaluation = COCOeval(truth, results, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recalls, classes, sizes), at the largest number of detections per image.
    precision = evaluation.eval["precision"][..., -1]
    rows = []
    for index, category in enumerate(evaluation.params.catIds):
        objects = sum(not truth.anns[number].get("iscrowd") for number in truth.getAnnIds(catIds=[category]))
        rows.append(ClassAP(truth.cats[category]["name"], objects, _values(precision[:, :, [index]])))
    return [*rows, ClassAP("all", sum(row.objects for row in rows), _values(precision))]


def _values(precision: np.ndarray) -> tuple[float | None, ...]:
    """Return the AP of each of COLUMNS; thresholds 0 and 5 are IoU 0.5 and 0.75."""
    whole, small, medium, large = (precision[..., size] for size in range(4))
    return tuple(_mean(part) for part in (whole, whole[0], whole[5], small, medium, large))


def _mean(part: np.ndarray) -> float | None:
    """Return the mean in percent, without the -1 that pycocotools writes where there are no objects."""
    valid = part[part > -1]
    return 100 * float(valid.mean()) if valid.size else None
