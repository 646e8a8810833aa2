"""Readers of the lists in a COCO file: categories, images, panoptic annotations. They check fields, types and unique ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from mmbeit3.datasets.annotations import read_json
from mmbeit3.datasets.coco_objects import LARGEST_ID
from mmbeit3.errors import UserError

__all__ = [
    "describe_record",
    "fail",
    "read_coco_json",
    "read_images",
    "read_isthing",
    "read_list",
    "read_names",
    "read_segments",
    "to_json",
]


_CONSTANT = re.compile(r"(?<![\w\"])(NaN|-?Infinity)(?![\w\"])")
"""Regex for numbers that Python writes and reads, but that are not JSON."""

_CONTROL = re.compile(r"[\x00-\x1f]")


def fail(path: Path, fault: str) -> NoReturn:
    """Raise a UserError that names a file."""
    raise UserError(f"'{path}': {fault}")


def read_coco_json(path: Path) -> dict[str, Any]:
    """Read the JSON object of a COCO file. ``NaN`` and ``Infinity`` are refused: no box may contain them.

    Raises:
        UserError: if the file cannot be read or does not contain an object. Naming the first record with such a number.
    """
    try:
        return read_json(path, strict=True)
    except UserError:
        # Reads the file again, so only after a failure. It raises the same error for all other damage.
        _fail_on_constant(read_json(path), path)
        raise


def _fail_on_constant(content: dict[str, Any], path: Path) -> None:
    """Raise the error of the first record that has a number that is not finite, which Python's parser accepts."""
    for key, kind in (("annotations", "annotation"), ("images", "image"), ("categories", "category")):
        records = content.get(key)
        for number, record in enumerate(records if isinstance(records, list) else [], start=1):
            for name, value in record.items() if isinstance(record, dict) else ():
                if found := _CONSTANT.search(json.dumps(value)):
                    where = f"{kind} number {number} ({describe_record(record)})"
                    fail(path, f"{where} has {found[0]} in '{name}', which is not a number in JSON: correct or remove it")


def read_list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    """Return one of the file's lists.

    Raises:
        UserError: if it is missing or not a list.
    """
    value = content.get(key)
    if not isinstance(value, list):
        found = "is missing" if key not in content else f"is a {type(value).__name__}"
        raise UserError(f"'{path}' is not a COCO annotation file: its list '{key}' {found}; give a file in COCO's format")
    return value


def _check_records(records: Iterable[Any], kind: str, fields: dict[str, type | tuple[type, ...]], path: Path) -> None:
    """Check that records are JSON objects with fields of exactly these types. A boolean is not accepted as an integer."""
    allowed = [(key, types if isinstance(types, tuple) else (types,)) for key, types in fields.items()]
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            fail(path, f"{kind} number {number} is a {type(record).__name__}, not an object: correct or remove it")
        for key, types in allowed:
            if key not in record:
                fail(path, f"{kind} number {number} ({describe_record(record)}) has no '{key}': add it")
            if type(record[key]) not in types:
                where = f"{kind} number {number} ({describe_record(record)})"
                fail(path, f"'{key}' of {where} is {to_json(record[key])}: write {_type_names(types)}")


def describe_record(record: dict[str, Any]) -> str:
    """Return the field that identifies a record, for error messages: ``id 7``, ``name "cat"``."""
    keys = ("id", "name", "file_name", "image_id")
    return next((f"{key} {to_json(record[key])}" for key in keys if key in record), "no id")


def to_json(value: Any) -> str:
    """Write a value as JSON, shortened to 60 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _type_names(types: Iterable[type]) -> str:
    names = {int: "an integer", str: "a string", list: "a list", bool: "true or false"}
    return " or ".join(names[one] for one in types)


def _check_unique(values: list[Any], kind: str, path: Path, remedy: str) -> None:
    if len(set(values)) < len(values):
        value, count = Counter(values).most_common(1)[0]
        fail(path, f"{count} {kind} {to_json(value)}: {remedy}")


def _check_id_range(ids: list[Any], kind: str, path: Path) -> None:
    if too_large := [one for one in ids if isinstance(one, int) and abs(one) > LARGEST_ID]:
        fail(path, f"{kind} has the id {to_json(too_large[0])}, which does not fit into 64 bits: count ids from 1")


def read_names(categories: list[Any], path: Path) -> dict[int, str]:
    """Return category id to name, in the file's order.

    Raises:
        UserError: naming the first invalid category.
    """
    _check_records(categories, "category", {"id": int, "name": str}, path)
    if not categories:
        fail(path, "its list 'categories' is empty: add one category per class")
    _check_id_range([one["id"] for one in categories], "a category", path)
    _check_unique([one["id"] for one in categories], "categories have the id", path, "give each category a unique id")
    _check_unique(
        [one["name"] for one in categories],
        "categories have the name",
        path,
        "keep one, and change the 'category_id' of the others' annotations to it",
    )
    return {one["id"]: one["name"] for one in categories}


def read_images(images: list[Any], path: Path) -> dict[int | str, tuple[str, int, int]]:
    """Return image id to file name, width and height in pixels.

    Raises:
        UserError: naming the first invalid image.
    """
    _check_records(images, "image", {"id": (int, str), "file_name": str, "width": int, "height": int}, path)
    if not images:
        fail(path, "its list 'images' is empty: add the images")
    ids = [one["id"] for one in images]
    _check_id_range(ids, "an image", path)
    if len({type(one) for one in ids}) > 1:
        fail(path, "some image ids are integers and some are strings: make them all integers")
    _check_unique(ids, "images have the id", path, "give each image a unique id")
    for one in images:
        if min(one["width"], one["height"]) <= 0:
            fail(
                path, f"image {to_json(one['id'])} is {one['width']} x {one['height']} pixels: write its real width and height"
            )
        if not one["file_name"].strip():
            fail(path, f"image {to_json(one['id'])} has an empty 'file_name': write the name of its file")
        if _CONTROL.search(one["file_name"]):
            name = to_json(one["file_name"])
            fail(path, f"image {to_json(one['id'])} has a control character in its 'file_name' {name}: rename the file")
    return {one["id"]: (one["file_name"], one["width"], one["height"]) for one in images}


def read_isthing(categories: list[Any], path: Path) -> dict[int, bool]:
    """Return category id to ``isthing`` of a panoptic file.

    Raises:
        UserError: naming the first invalid category.
    """
    _check_records(categories, "category", {"isthing": (int, bool)}, path)
    return {one["id"]: bool(one["isthing"]) for one in categories}


def read_segments(
    annotations: list[Any], images: dict[int | str, tuple[str, int, int]], path: Path
) -> tuple[list[dict[str, Any]], dict[int | str, str]]:
    """Return the segments of panoptic annotations, each with its ``image_id``, and image id to the name of the PNG.

    Raises:
        UserError: naming the first invalid annotation or segment.
    """
    _check_records(annotations, "annotation", {"image_id": (int, str), "file_name": str, "segments_info": list}, path)
    _check_unique([one["image_id"] for one in annotations], "annotations have the image_id", path, "keep one for each image")
    if missing := images.keys() - {one["image_id"] for one in annotations}:
        fail(
            path,
            f"image {to_json(min(missing, key=str))} has no panoptic annotation ({len(missing)} images have none): add it",
        )
    segments: list[dict[str, Any]] = []
    for one in annotations:
        _check_records(one["segments_info"], f"segment of image {to_json(one['image_id'])},", {"id": int}, path)
        numbers = [segment["id"] for segment in one["segments_info"]]
        _check_unique(
            numbers, f"segments of image {to_json(one['image_id'])} have the id", path, "give each segment a unique id"
        )
        # The PNG stores an id as a colour: R + 256 G + 65536 B. Colour 0 means no segment.
        if numbers and not 0 < min(numbers) <= max(numbers) < 1 << 24:
            wrong = min(numbers) if min(numbers) <= 0 else max(numbers)
            fail(path, f"segment id {wrong} of image {to_json(one['image_id'])} is not a colour: use 1 to {(1 << 24) - 1}")
        segments += [{**segment, "image_id": one["image_id"]} for segment in one["segments_info"]]
    return segments, {one["image_id"]: one["file_name"] for one in annotations}
