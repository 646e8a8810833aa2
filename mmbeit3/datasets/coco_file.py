"""Reading a COCO annotation file in one pass: what is wrong with it, and what its checks need to know of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mmbeit3.datasets.coco_masks import mask_fault, masks_are_sound, polygon_limit
from mmbeit3.datasets.coco_objects import LARGEST_ID, Columns, object_fault, read_columns
from mmbeit3.errors import UserError

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
    path = Path(path)
    content = _parse(path)
    categories, images = _list(content, "categories", path), _list(content, "images", path)
    annotations = _list(content, "annotations", path) if "annotations" in content else []
    names = _names(categories, path)
    known_images = _images(images, path)
    panoptic = any(isinstance(one, dict) and "segments_info" in one for one in annotations[:1])
    objects = annotations
    segment_files: dict[int | str, str] = {}
    things: dict[int, bool] = {}
    if panoptic:
        things = _things(categories, path)
        objects, segment_files = _segments(annotations, known_images, path)
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


def _refuse(path: Path, fault: str) -> NoReturn:
    raise UserError(f"'{path}': {fault}")


def _parse(path: Path) -> dict[str, Any]:
    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"it holds {name}, which is no JSON number")

    try:
        content = json.loads(path.read_bytes(), parse_constant=refuse_constant)
    except OSError as error:
        raise UserError(f"annotation file '{path}' cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no COCO annotation file ({error}): it is damaged or of another format") from error
    if not isinstance(content, dict):
        raise UserError(f"'{path}' is no COCO annotation file: it holds a JSON {type(content).__name__}, not an object")
    return content


def _list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list):
        found = "is missing" if key not in content else f"is a {type(value).__name__}"
        raise UserError(f"'{path}' is no COCO annotation file: its list '{key}' {found}")
    return value


def _entries(entries: Iterable[Any], kind: str, fields: dict[str, type | tuple[type, ...]], path: Path) -> None:
    """Check that entries are objects, and have fields of these types, exactly (True is no number)."""
    allowed = [(key, types if isinstance(types, tuple) else (types,)) for key, types in fields.items()]
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            _refuse(path, f"{kind} number {place + 1} is a {type(entry).__name__}, not an object")
        for key, types in allowed:
            if key not in entry:
                _refuse(path, f"{kind} number {place + 1} ({key_of(entry)}) has no '{key}'")
            if type(entry[key]) not in types:
                where = f"{kind} number {place + 1} ({key_of(entry)})"
                _refuse(path, f"'{key}' of {where} is {_shown(entry[key])}, not {_kind(types)}")


def key_of(entry: dict[str, Any]) -> str:
    """What to call an entry besides its number."""
    return next((f"{key} {_shown(entry[key])}" for key in ("id", "name", "file_name", "image_id") if key in entry), "no id")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(types: Iterable[type]) -> str:
    names = {int: "an integer", str: "a text", list: "a list", bool: "true or false"}
    return " or ".join(names[one] for one in types)


def _unique(values: list[Any], kind: str, path: Path, remedy: str) -> None:
    if len(set(values)) < len(values):
        value, count = Counter(values).most_common(1)[0]
        _refuse(path, f"{count} {kind} {_shown(value)}: {remedy}")


def _check_size(ids: list[Any], kind: str, path: Path) -> None:
    if too_large := [one for one in ids if isinstance(one, int) and abs(one) > LARGEST_ID]:
        _refuse(path, f"{kind} has the id {_shown(too_large[0])}, which is beyond 64 bits: count ids from 1")


def _names(categories: list[Any], path: Path) -> dict[int, str]:
    _entries(categories, "category", {"id": int, "name": str}, path)
    if not categories:
        _refuse(path, "its list 'categories' is empty: name the classes there")
    _check_size([one["id"] for one in categories], "a category", path)
    _unique([one["id"] for one in categories], "categories have the id", path, "give each category an id of its own")
    _unique([one["name"] for one in categories], "categories have the name", path, "keep one, and give it to their annotations")
    return {one["id"]: one["name"] for one in categories}


def _images(images: list[Any], path: Path) -> dict[int | str, tuple[str, int, int]]:
    _entries(images, "image", {"id": (int, str), "file_name": str, "width": int, "height": int}, path)
    if not images:
        _refuse(path, "its list 'images' is empty")
    ids = [one["id"] for one in images]
    _check_size(ids, "an image", path)
    if len({type(one) for one in ids}) > 1:
        _refuse(path, "some image ids are integers and some are texts: make them all integers")
    _unique(ids, "images have the id", path, "give each image an id of its own")
    for one in images:
        if min(one["width"], one["height"]) <= 0:
            _refuse(path, f"image {_shown(one['id'])} is {one['width']} x {one['height']} pixels: state its size")
        if not one["file_name"].strip():
            _refuse(path, f"image {_shown(one['id'])} has an empty 'file_name'")
    return {one["id"]: (one["file_name"], one["width"], one["height"]) for one in images}


def _things(categories: list[Any], path: Path) -> dict[int, bool]:
    _entries(categories, "category", {"isthing": (int, bool)}, path)
    return {one["id"]: bool(one["isthing"]) for one in categories}


def _segments(
    annotations: list[Any], images: dict[int | str, tuple[str, int, int]], path: Path
) -> tuple[list[dict[str, Any]], dict[int | str, str]]:
    """The segments of panoptic annotations, each with its image's id, and the names of the PNGs."""
    _entries(annotations, "annotation", {"image_id": (int, str), "file_name": str, "segments_info": list}, path)
    _unique([one["image_id"] for one in annotations], "annotations are of the image", path, "keep one for each image")
    if missing := images.keys() - {one["image_id"] for one in annotations}:
        _refuse(path, f"image {_shown(min(missing, key=str))} has no panoptic annotation ({len(missing)} images have none)")
    segments: list[dict[str, Any]] = []
    for one in annotations:
        _entries(one["segments_info"], f"segment of image {_shown(one['image_id'])},", {"id": int}, path)
        numbers = [segment["id"] for segment in one["segments_info"]]
        _unique(numbers, f"segments of image {_shown(one['image_id'])} have the id", path, "give each segment an id of its own")
        if numbers and not 0 < min(numbers) <= max(numbers) < 1 << 24:
            _refuse(path, f"a segment id of image {_shown(one['image_id'])} is not in 1 to {(1 << 24) - 1}, a colour's range")
        segments += [{**segment, "image_id": one["image_id"]} for segment in one["segments_info"]]
    return segments, {one["image_id"]: one["file_name"] for one in annotations}


def _refuse_objects(
    objects: list[Any], images: dict[int | str, tuple[str, int, int]], names: dict[int, str], panoptic: bool, path: Path
) -> NoReturn:
    kind = "segment" if panoptic else "annotation"
    seen: set[int] = set()
    for place, one in enumerate(objects):
        if not isinstance(one, dict):
            _refuse(path, f"{kind} number {place + 1} is a {type(one).__name__}, not an object")
        fault = object_fault(one, images, names)
        if fault is None and not panoptic and one["id"] in seen:
            fault = "has the id of another: count ids from 1"
        if fault is not None:
            _refuse(path, f"{kind} number {place + 1} ({key_of(one)}) {fault}")
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
        return f"annotation {columns.ids[one]} {reason} (box {_shown(objects[one]['bbox'])}, image {size})"

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
