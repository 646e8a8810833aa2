"""COCO's AP of each class and size."""

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
    """A class's line.

    Attributes:
        name: of the class; of the last line ``all``, which is the mean over classes.
        objects: how many there are.
        values: for each of :data:`COLUMNS` the AP in percent; None where there is nothing to find. ``APs`` is that of objects
            below 32 x 32 pixels, ``APl`` from 96 x 96.
    """

    name: str
    objects: int
    values: tuple[float | None, ...]


def class_table(truth: COCO, results: COCO, iou_type: str) -> list[ClassAP]:
    """Evaluate by pycocotools.

    Args:
        truth: annotations.
        results: detections.
        iou_type: ``bbox`` or ``segm``.

    Returns:
        A line for each class, in the annotations' order, and one for all.
    """
    evaluation = COCOeval(truth, results, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recalls, classes, sizes), of the most detections an image.
    precision = evaluation.eval["precision"][..., -1]
    lines = []
    for place, category in enumerate(evaluation.params.catIds):
        objects = sum(not truth.anns[number].get("iscrowd") for number in truth.getAnnIds(catIds=[category]))
        lines.append(ClassAP(truth.cats[category]["name"], objects, _values(precision[:, :, [place]])))
    return [*lines, ClassAP("all", sum(line.objects for line in lines), _values(precision))]


def _values(precision: np.ndarray) -> tuple[float | None, ...]:
    whole, small, medium, large = (precision[..., size] for size in range(4))
    return tuple(_mean(part) for part in (whole, whole[0], whole[5], small, medium, large))


def _mean(part: np.ndarray) -> float | None:
    """Mean in percent of what is no -1, which stands for nothing to find."""
    there = part[part > -1]
    return 100 * float(there.mean()) if there.size else None
