"""Match detections with objects by COCO's rules at an IoU of 0.5, and classify the errors of false detections."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmbeit3.errors import UserError

__all__ = ["ERRORS", "Matches", "match_detections", "read_results", "read_truth"]

ERRORS = ("localisation", "classification", "duplicate", "background", "both")
"""Kinds of errors of a false detection; see :func:`match_detections`."""

FOREGROUND, BACKGROUND = 0.5, 0.1
"""Lowest IoU of a detection that found an object, and IoU below which a detection lies on background (arXiv 2008.08115)."""


@dataclass(frozen=True)
class Matches:
    """Detections (D) and objects (T) of a dataset, without crowds and without detections that COCO ignores.

    Attributes:
        images, categories, scores: image id, category id and score of the detections (D,).
        hits: True for detections that found an object (D,).
        errors: index into :data:`ERRORS` (D,); -1 for hits.
        targets: index of the object that a detection found, misplaced or gave a wrong class (D,); else -1.
        truth_images, truth_categories: image id and category id of the objects (T,).
        found: True for objects that were found (T,).
    """

    images: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    errors: np.ndarray
    targets: np.ndarray
    truth_images: np.ndarray
    truth_categories: np.ndarray
    found: np.ndarray


def read_truth(path: str | Path, classes: Iterable[str] = ()) -> COCO:
    """Read COCO annotations.

    Args:
        path: the file.
        classes: names of the classes that count; objects of other categories are left out, as by mmdet. Default: all.

    Raises:
        UserError: if the file is missing, is not a COCO annotation file, or has an annotation with id 0.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(path))
            kept = set(truth.getCatIds(catNms=list(classes)))
            for part, key in (("categories", "id"), ("annotations", "category_id")):
                truth.dataset[part] = [entry for entry in truth.dataset[part] if entry[key] in kept]
            truth.createIndex()
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise UserError(f"'{path}' is not a COCO annotation file ({type(error).__name__}: {error})") from error
    if 0 in truth.anns:
        raise UserError(f"'{path}' has an annotation with id 0, which COCO's evaluation treats as no match: count ids from 1")
    return truth


def read_results(truth: COCO, path: str | Path) -> COCO:
    """Read detections in COCO's format for results; the list may be empty."""
    entries = json.loads(Path(path).read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        if entries:
            return truth.loadRes(entries)
        results = COCO()
        results.dataset = {**truth.dataset, "annotations": []}
        results.createIndex()
    return results


def match_detections(truth: COCO, results: COCO, iou_type: str) -> Matches:
    """Match detections with objects and classify the false detections.

    The kind of error depends on the largest IoU with an object of the predicted class and with an object of another class. The
    first condition that holds decides:

    * localisation: IoU from 0.1 to below 0.5 with an object of the predicted class;
    * classification: IoU of at least 0.5 with an object of another class;
    * duplicate: IoU of at least 0.5 with an object of the predicted class, which a better detection has found;
    * background: IoU below 0.1 with all objects;
    * both (wrong place and wrong class): the rest, IoU from 0.1 to below 0.5 with an object of another class.

    Args:
        truth: annotations.
        results: detections.
        iou_type: ``bbox`` or ``segm``.
    """
    evaluation = COCOeval(truth, results, iou_type)
    params = evaluation.params
    params.iouThrs, params.maxDets = np.array([FOREGROUND]), [100]
    params.areaRng, params.areaRngLbl = [params.areaRng[0]], [params.areaRngLbl[0]]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    by_image: dict[int, list[dict[str, Any]]] = {image: [] for image in truth.imgs}
    for part in evaluation.evalImgs:
        # pycocotools returns None for a class without objects and detections in an image.
        if part is not None:
            by_image[part["image_id"]].append(part)
    detections: list[tuple[int, int, float, bool, int, int]] = []
    objects: list[tuple[int, int, bool]] = []
    for image, parts in by_image.items():
        image_objects, image_detections = _match_image(truth, results, iou_type, image, parts, len(objects))
        detections += image_detections
        objects += image_objects
    columns = [np.array(column) for column in zip(*detections, strict=True)] or [np.zeros(0)] * 6
    truths = [np.array(column) for column in zip(*objects, strict=True)] or [np.zeros(0)] * 3
    dtypes: tuple[Any, ...] = (np.int64, np.int64, np.float64, bool, np.int64, np.int64, np.int64, np.int64, bool)
    return Matches(*(column.astype(dtype) for column, dtype in zip([*columns, *truths], dtypes, strict=True)))


def _match_image(
    truth: COCO, results: COCO, iou_type: str, image: int, parts: list[dict[str, Any]], first: int
) -> tuple[list[tuple[int, int, bool]], list[tuple[int, int, float, bool, int, int]]]:
    """Return the objects and the detections of an image, as rows of :class:`Matches`.

    Args:
        truth: annotations.
        results: detections.
        iou_type: ``bbox`` or ``segm``.
        image: id of the image.
        parts: pycocotools' matches of the image, one per class.
        first: index of the first object of the image in the dataset.
    """
    objects = [annotation for annotation in truth.imgToAnns[image] if not annotation.get("iscrowd")]
    indices = {annotation["id"]: index for index, annotation in enumerate(objects)}
    detected: dict[int, tuple[bool, int]] = {}
    for part in parts:
        matched, ignored = part["dtMatches"][0], part["dtIgnore"][0]
        for number, match, ignore in zip(part["dtIds"], matched, ignored, strict=True):
            if not ignore:
                detected[number] = (bool(match), indices[int(match)] if match else -1)
    found = {target for hit, target in detected.values() if hit}
    boxes = [results.anns[number] for number in detected]
    ious = _ious(truth, results, iou_type, boxes, objects)
    classes = np.array([annotation["category_id"] for annotation in objects], np.int64)
    rows = []
    for row, (box, (hit, target)) in enumerate(zip(boxes, detected.values(), strict=True)):
        error = -1
        if not hit:
            error, target = _classify_error(ious[row], classes == box["category_id"])
        rows.append((image, box["category_id"], box["score"], hit, error, first + target if target >= 0 else -1))
    return [(image, int(category), index in found) for index, category in enumerate(classes)], rows


def _classify_error(ious: np.ndarray, same: np.ndarray) -> tuple[int, int]:
    """Return the error of a false detection as an index into ERRORS, and the index of the object it concerns or -1.

    Args:
        ious: IoU with each object of the image (T,).
        same: True for objects of the predicted class (T,).
    """
    same_ious, other_ious = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
    best_same, best_other = same_ious.max(initial=0.0), other_ious.max(initial=0.0)
    if BACKGROUND <= best_same < FOREGROUND:
        return ERRORS.index("localisation"), int(same_ious.argmax())
    if best_other >= FOREGROUND:
        return ERRORS.index("classification"), int(other_ious.argmax())
    if best_same >= FOREGROUND:
        return ERRORS.index("duplicate"), -1
    return ERRORS.index("background" if best_other < BACKGROUND else "both"), -1


def _ious(truth: COCO, results: COCO, iou_type: str, boxes: list[Any], objects: list[Any]) -> np.ndarray:
    """Return the IoU of each detection with each object (D, T)."""
    if not boxes or not objects:
        return np.zeros((len(boxes), len(objects)))
    if iou_type == "bbox":
        shapes = [[annotation["bbox"] for annotation in annotations] for annotations in (boxes, objects)]
    else:
        shapes = [[coco.annToRLE(annotation) for annotation in part] for coco, part in ((results, boxes), (truth, objects))]
    return np.asarray(mask_utils.iou(*shapes, [0] * len(objects)))
