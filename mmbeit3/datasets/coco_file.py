"""Reading a COCO annotation file in one pass: what is wrong with it, and what its checks need to know of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mmbeit3.datasets.coco_entries import (
    key_of,
    parse,
    read_images,
    read_list,
    read_names,
    read_segments,
    read_things,
    refuse,
    shown,
)
from mmbeit3.datasets.coco_masks import mask_fault, masks_are_sound, polygon_limit
from mmbeit3.datasets.coco_objects import Columns, object_fault, read_columns

__all__ = ["CocoFile", "read_coco"]


@dataclass(frozen=True)
class CocoFile:
    """What is in a sound annotation file, without the annotations themselves, which may take gigabytes.

    Attributes:
        path: the file.
        names: category ids to names, in the file's order, which mmdet numbers labels by.
        things: category ids to whether they are things; empty for a detection file.
        images: image ids to file name, width and height.
        categories: category id of each object (N,); for a panoptic file, of each segment.
        image_index: place of each object's image in ``images`` (N,).
        dropped: whether mmdet leaves an object out, because of its box or area (N,).
        beyond: whether a box reaches beyond its image by more than a tenth of its sides (N,).
        first_dropped: what is wrong with the first object that is left out.
        first_beyond: the first box that reaches beyond its image by more than a tenth.
        first_far: the first box that reaches beyond its image by more than a whole one.
        without_masks: number of objects without a mask that mmdet does not leave out.
        first_mask_fault: what is wrong with the first mask that cannot be used; None if all can.
        encoded: number of objects, crowds aside, whose masks are run-length encoded.
        first_unscored: the first object that COCO's evaluation cannot use, and why.
        segment_files: image ids to the name of the panoptic PNG; empty for a detection file.
        annotated: whether the file has annotations at all; COCO's files of test images have none.
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
    encoded: int = 0
    first_unscored: str | None = None
    segment_files: dict[int | str, str] = field(default_factory=dict)
    annotated: bool = True

    @property
    def is_panoptic(self) -> bool:
        """Whether this is a file of COCO's panoptic form."""
        return bool(self.segment_files)

    def used_names(self) -> list[str]:
        """Names of the categories that objects have, in the file's order."""
        used = set(np.unique(self.categories).tolist())
        return [name for number, name in self.names.items() if number in used]


def read_coco(path: str | Path) -> CocoFile:
    """Read a COCO file of detection, instance or panoptic annotations and check every entry.

    Fields, types, ids that are unique and ids that meet are checked. Masks are checked as well, but a faulty one is only noted,
    since training on boxes does not need it.

    Args:
        path: the JSON file.

    Raises:
        UserError: if the file cannot be read or an entry is faulty; the message names the first such entry.
    """
    with _without_collection():
        return _read(Path(path))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python looks for garbage whenever many objects are made: a third of the time, and nothing here is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(path: Path) -> CocoFile:
    content = parse(path)
    categories, images = read_list(content, "categories", path), read_list(content, "images", path)
    annotations = read_list(content, "annotations", path) if "annotations" in content else []
    names = read_names(categories, path)
    known_images = read_images(images, path)
    panoptic = any(isinstance(one, dict) and "segments_info" in one for one in annotations[:1])
    objects = annotations
    segment_files: dict[int | str, str] = {}
    things: dict[int, bool] = {}
    if panoptic:
        things = read_things(categories, path)
        objects, segment_files = read_segments(annotations, known_images, path)
    columns = read_columns(objects, known_images, names, unique_ids=not panoptic)
    if columns is None:
        _refuse_objects(objects, known_images, names, panoptic, path)
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


def _refuse_objects(
    objects: list[Any], images: dict[int | str, tuple[str, int, int]], names: dict[int, str], panoptic: bool, path: Path
) -> NoReturn:
    kind = "segment" if panoptic else "annotation"
    seen: set[int] = set()
    for place, one in enumerate(objects):
        if not isinstance(one, dict):
            refuse(path, f"{kind} number {place + 1} is a {type(one).__name__}, not an object")
        fault = object_fault(one, images, names)
        if fault is None and not panoptic and one["id"] in seen:
            fault = "has the id of another: count ids from 1"
        if fault is not None:
            refuse(path, f"{kind} number {place + 1} ({key_of(one)}) {fault}")
        seen.add(one["id"])
    raise AssertionError(f"'{path}': the two forms of the check of objects disagree")


def _summarize(
    objects: list[dict[str, Any]], columns: Columns, images: dict[int | str, tuple[str, int, int]]
) -> dict[str, Any]:
    """Categories, images and drops of sound objects."""
    boxes = columns.boxes
    sizes = np.array([(width, height) for _, width, height in images.values()], np.float64)[columns.images]
    # As mmdet's CocoDataset does.
    inside = np.minimum(boxes[:, :2] + boxes[:, 2:], sizes) - np.maximum(boxes[:, :2], 0)
    reasons = {
        "is less than a pixel wide or high": (boxes[:, 2:] < 1).any(axis=1),
        "lies outside its image": (inside <= 0).any(axis=1),
        "has no area": columns.areas <= 0,
    }
    dropped = np.logical_or.reduce(list(reasons.values()))
    overhang = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - sizes)
    beyond, far = ((overhang > share * sizes + 1).any(axis=1) for share in (0.1, 1.0))

    def first(which: np.ndarray, reason: str) -> str | None:
        if not which.any():
            return None
        one = int(which.argmax())
        size = " x ".join(f"{side:.0f}" for side in sizes[one])
        return f"annotation {columns.ids[one]} {reason} (box {shown(objects[one]['bbox'])}, image {size})"

    reason = next((text for text, where in reasons.items() if dropped.any() and where[int(dropped.argmax())]), "")
    unscored = None
    if None in columns.crowds:
        unscored = f"annotation {columns.ids[columns.crowds.index(None)]} has no 'iscrowd': write 0 where it is no crowd"
    elif (columns.ids == 0).any():
        unscored = "an annotation has id 0, which COCO's evaluation takes for no object: count ids from 1"
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
    bare = 0
    if not all(masks):
        bare = sum(not mask and not gone for mask, gone in zip(masks, dropped.tolist(), strict=True))
    first_fault = None
    if not masks_are_sound(objects, images):
        limit = polygon_limit(images)
        faults = ((one["id"], mask_fault(one, images, limit)) for one in objects)
        first_fault = next((f"annotation {number} {fault}" for number, fault in faults if fault is not None), None)
    return {
        "without_masks": bare,
        "encoded": sum(not one.get("iscrowd") for one, mask in zip(objects, masks, strict=True) if type(mask) is dict),
        "first_mask_fault": first_fault,
    }
