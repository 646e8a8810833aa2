"""Reader of COCO annotation files. One pass finds the first fault and collects what the checks of a config need."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mmbeit3.datasets.coco_masks import mask_fault, masks_are_valid, polygon_limit
from mmbeit3.datasets.coco_objects import Columns, object_fault, read_columns
from mmbeit3.datasets.coco_records import (
    describe_record,
    fail,
    read_coco_json,
    read_images,
    read_isthing,
    read_list,
    read_names,
    read_segments,
    to_json,
)

__all__ = ["CocoFile", "read_coco"]


@dataclass(frozen=True)
class CocoFile:
    """Summary of a valid annotation file. The annotations, which may take gigabytes, are not kept.

    Attributes:
        path: the file.
        names: category id to name, in the file's order. mmdet numbers labels in this order.
        things: category id to ``isthing``; empty for a detection file.
        images: image id to file name, width and height in pixels.
        categories: category id of each object (N,); for a panoptic file, of each segment.
        image_index: index of each object's image in ``images`` (N,).
        dropped: True for objects that mmdet drops because of their box or area (N,).
        beyond: True for other boxes that reach beyond their image by more than a tenth of its sides (N,).
        first_dropped: fault of the first dropped object.
        first_beyond: first box of ``beyond``.
        first_far: first box that reaches beyond its image by more than the image's whole width or height.
        without_masks: number of objects without a mask that mmdet does not drop.
        first_mask_fault: fault of the first invalid mask; None if all are valid.
        rle_masks: number of objects, except crowds, whose masks are run-length encoded.
        first_unscored: first object that COCO's evaluation cannot use, and why.
        segment_files: image id to the name of the panoptic PNG; empty for a detection file.
        annotated: True if the file has a list of annotations. COCO's files of test images have none.
    """

    path: Path
    names: dict[int, str]
    things: dict[int, bool]
    images: dict[int | str, tuple[str, int, int]]
    categories: np.ndarray
    image_index: np.ndarray
    dropped: np.ndarray
    beyond: np.ndarray
    first_dropped: str | None = None
    first_beyond: str | None = None
    first_far: str | None = None
    without_masks: int = 0
    first_mask_fault: str | None = None
    rle_masks: int = 0
    first_unscored: str | None = None
    segment_files: dict[int | str, str] = field(default_factory=dict)
    annotated: bool = True

    @property
    def is_panoptic(self) -> bool:
        """True if the file has COCO's panoptic format."""
        return bool(self.segment_files)

    def used_names(self) -> list[str]:
        """Return the names of categories that have at least one object, in the file's order."""
        used = set(np.unique(self.categories).tolist())
        return [name for number, name in self.names.items() if number in used]


def read_coco(path: str | Path) -> CocoFile:
    """Read a COCO file of detection, instance or panoptic annotations and check every entry.

    The checks cover fields, types, unique ids, and references between ids. An invalid mask is only noted, because training on
    boxes does not need masks.

    Args:
        path: the JSON file.

    Raises:
        UserError: if the file cannot be read or an entry is invalid. The message names the first such entry.
    """
    with _no_garbage_collection():
        return _read(Path(path))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch off the garbage collector. It would take a third of the time, and parsed JSON has no reference cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(path: Path) -> CocoFile:
    content = read_coco_json(path)
    categories, images = read_list(content, "categories", path), read_list(content, "images", path)
    annotations = read_list(content, "annotations", path) if "annotations" in content else []
    names = read_names(categories, path)
    known_images = read_images(images, path)
    panoptic = bool(annotations) and isinstance(annotations[0], dict) and "segments_info" in annotations[0]
    objects = annotations
    segment_files: dict[int | str, str] = {}
    things: dict[int, bool] = {}
    if panoptic:
        things = read_isthing(categories, path)
        objects, segment_files = read_segments(annotations, known_images, path)
    columns = read_columns(objects, known_images, names, unique_ids=not panoptic)
    if columns is None:
        _fail_on_object(objects, known_images, names, panoptic, path)
    summary = _summarize(objects, columns, known_images)
    if not panoptic:
        summary |= _summarize_masks(objects, summary["dropped"], known_images)
    return CocoFile(
        path,
        names,
        things,
        known_images,
        segment_files=segment_files,
        annotated="annotations" in content,
        **summary,
    )


def _fail_on_object(
    objects: list[Any], images: dict[int | str, tuple[str, int, int]], names: dict[int, str], panoptic: bool, path: Path
) -> NoReturn:
    """Raise the error of the first invalid object. ``read_columns`` finds that there is one, but not which."""
    kind = "segment" if panoptic else "annotation"
    seen: set[int] = set()
    for number, one in enumerate(objects, start=1):
        if not isinstance(one, dict):
            fail(path, f"{kind} number {number} is a {type(one).__name__}, not an object: correct or remove it")
        fault = object_fault(one, images, names)
        if fault is None and not panoptic and one["id"] in seen:
            fault = "has the same id as another one: count ids from 1"
        if fault is not None:
            fail(path, f"{kind} number {number} ({describe_record(one)}) {fault}")
        seen.add(one["id"])
    raise AssertionError(f"'{path}': read_columns and object_fault disagree")


def _summarize(
    objects: list[dict[str, Any]], columns: Columns, images: dict[int | str, tuple[str, int, int]]
) -> dict[str, Any]:
    """Find dropped and overhanging boxes among valid objects, and what COCO's evaluation cannot use."""
    boxes = columns.boxes
    sizes = np.array([(width, height) for _, width, height in images.values()], np.float64)[columns.images]
    # The rules of CocoDataset in mmdet for objects that it drops without a message.
    inside = np.minimum(boxes[:, :2] + boxes[:, 2:], sizes) - np.maximum(boxes[:, :2], 0)
    reasons = {
        "is less than a pixel wide or high": (boxes[:, 2:] < 1).any(axis=1),
        "lies outside its image": (inside <= 0).any(axis=1),
        "has no area": columns.areas <= 0,
    }
    dropped = np.logical_or.reduce(list(reasons.values()))
    overhang = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - sizes)
    beyond, far = ((overhang > share * sizes + 1).any(axis=1) for share in (0.1, 1.0))
    beyond &= ~dropped

    def first(faulty: np.ndarray, reason: str) -> str | None:
        if not faulty.any():
            return None
        index = int(faulty.argmax())
        size = " x ".join(f"{side:.0f}" for side in sizes[index])
        return f"annotation {columns.ids[index]} {reason} (box {to_json(objects[index]['bbox'])}, image {size})"

    reason = next((text for text, faulty in reasons.items() if dropped.any() and faulty[int(dropped.argmax())]), "")
    unscored = None
    if None in columns.crowds:
        unscored = (
            f"annotation {columns.ids[columns.crowds.index(None)]} has no 'iscrowd': write 0 for a single object, 1 for a crowd"
        )
    elif (columns.ids == 0).any():
        unscored = "an annotation has id 0, which COCO's evaluation treats as no match: count ids from 1"
    return {
        "categories": columns.categories,
        "image_index": columns.images,
        "dropped": dropped,
        "first_dropped": first(dropped, reason),
        "beyond": beyond,
        "first_beyond": first(beyond, "reaches beyond its image"),
        "first_far": first(far, "reaches far beyond its image"),
        "first_unscored": unscored,
    }


def _summarize_masks(
    objects: list[dict[str, Any]], dropped: np.ndarray, images: dict[int | str, tuple[str, int, int]]
) -> dict[str, Any]:
    masks = [one.get("segmentation") for one in objects]
    without_masks = 0
    if not all(masks):
        without_masks = sum(not mask and not gone for mask, gone in zip(masks, dropped.tolist(), strict=True))
    first_fault = None
    if not masks_are_valid(objects, images):
        limit = polygon_limit(images)
        faults = ((one["id"], mask_fault(one, images, limit)) for one in objects)
        first_fault = next((f"annotation {number} {fault}" for number, fault in faults if fault is not None), None)
    return {
        "without_masks": without_masks,
        "rle_masks": sum(not one.get("iscrowd") for one, mask in zip(objects, masks, strict=True) if type(mask) is dict),
        "first_mask_fault": first_fault,
    }
