"""Which detections found an object, by COCO's rules at an IoU of 0.5, and what is wrong with those that did not."""

from __future__ import annotations

import contextlib
import io
import json
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
"""What a false detection may be, in the order in which it is tried."""

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a detection has found an object, and below which it has nothing to do with it (arXiv 2008.08115)."""


@dataclass(frozen=True)
class Matches:
    """Detections (D) and objects (T) of a dataset; crowds, and detections that COCO ignores, are left out.

    Attributes:
        images, categories, scores: of the detections (D,).
        hits: whether a detection found an object (D,).
        errors: index into :data:`ERRORS` (D,); -1 for hits.
        targets: index of the object that a detection found, or that it misplaces or misnames (D,); else -1.
        truth_images, truth_categories: of the objects (T,).
        found: whether an object was found (T,).
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


def read_truth(path: str | Path) -> COCO:
    """Read COCO annotations.

    Raises:
        UserError: if the file is missing or none.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(path))
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise UserError(f"'{path}' is no COCO annotation file ({type(error).__name__}: {error})") from error
    if 0 in truth.anns:
        raise UserError(f"'{path}' has an annotation with id 0, which COCO's evaluation takes for none: count ids from 1")
    return truth


def read_results(truth: COCO, path: str | Path) -> COCO:
    """Read detections in COCO's format for results; an empty list is one as well."""
    entries = json.loads(Path(path).read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        if entries:
            return truth.loadRes(entries)
        results = COCO()
        results.dataset = {**truth.dataset, "annotations": []}
        results.createIndex()
    return results


def match_detections(truth: COCO, results: COCO, iou_type: str) -> Matches:
    """Match, and name the errors of what is false.

    A false detection is, by its largest IoU with objects of its class and with those of others, the first that holds of

    * localisation: 0.1 to below 0.5 with one of its class;
    * classification: at least 0.5 with one of another class;
    * duplicate: at least 0.5 with one of its class, which a better detection has found;
    * background: below 0.1 with all;
    * both: what is left, 0.1 to below 0.5 with one of another class.

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
    for one in evaluation.evalImgs:
        if one is not None:
            by_image[one["image_id"]].append(one)
    detections: list[tuple[int, int, float, bool, int, int]] = []
    objects: list[tuple[int, int, bool]] = []
    for image, parts in by_image.items():
        found, errors = _of_image(truth, results, iou_type, image, parts, len(objects))
        detections += errors
        objects += found
    columns = [np.array(column) for column in zip(*detections, strict=True)] or [np.zeros(0)] * 6
    truths = [np.array(column) for column in zip(*objects, strict=True)] or [np.zeros(0)] * 3
    kinds: tuple[Any, ...] = (np.int64, np.int64, np.float64, bool, np.int64, np.int64, np.int64, np.int64, bool)
    return Matches(*(column.astype(kind) for column, kind in zip([*columns, *truths], kinds, strict=True)))


def _of_image(
    truth: COCO, results: COCO, iou_type: str, image: int, parts: list[dict[str, Any]], first: int
) -> tuple[list[tuple[int, int, bool]], list[tuple[int, int, float, bool, int, int]]]:
    """An image's objects and detections; ``first`` is the index that its first object gets."""
    objects = [annotation for annotation in truth.imgToAnns[image] if not annotation.get("iscrowd")]
    place = {annotation["id"]: number for number, annotation in enumerate(objects)}
    detected: dict[int, tuple[bool, int]] = {}
    for part in parts:
        matched, ignored = part["dtMatches"][0], part["dtIgnore"][0]
        for number, match, ignore in zip(part["dtIds"], matched, ignored, strict=True):
            if not ignore:
                detected[number] = (bool(match), place[int(match)] if match else -1)
    found = {target for hit, target in detected.values() if hit}
    boxes = [results.anns[number] for number in detected]
    ious = _ious(truth, results, iou_type, boxes, objects)
    classes = np.array([annotation["category_id"] for annotation in objects], np.int64)
    rows = []
    for row, (box, (hit, target)) in enumerate(zip(boxes, detected.values(), strict=True)):
        error = -1
        if not hit:
            error, target = _name_error(ious[row], classes == box["category_id"])
        rows.append((image, box["category_id"], box["score"], hit, error, first + target if target >= 0 else -1))
    return [(image, int(one), number in found) for number, one in enumerate(classes)], rows


def _name_error(ious: np.ndarray, same: np.ndarray) -> tuple[int, int]:
    """The error of a false detection, and the object that it is about, if it is about one."""
    own, other = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
    best_own, best_other = own.max(initial=0.0), other.max(initial=0.0)
    if BACKGROUND <= best_own < FOREGROUND:
        return ERRORS.index("localisation"), int(own.argmax())
    if best_other >= FOREGROUND:
        return ERRORS.index("classification"), int(other.argmax())
    if best_own >= FOREGROUND:
        return ERRORS.index("duplicate"), -1
    return ERRORS.index("background" if best_other < BACKGROUND else "both"), -1


def _ious(truth: COCO, results: COCO, iou_type: str, boxes: list[Any], objects: list[Any]) -> np.ndarray:
    """IoU of each detection with each object (D, T)."""
    if not boxes or not objects:
        return np.zeros((len(boxes), len(objects)))
    if iou_type == "bbox":
        sides = [[one["bbox"] for one in ones] for ones in (boxes, objects)]
    else:
        sides = [[coco.annToRLE(one) for one in ones] for coco, ones in ((results, boxes), (truth, objects))]
    return np.asarray(mask_utils.iou(*sides, [0] * len(objects)))
