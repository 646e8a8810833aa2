"""The lists of a COCO file: parsed, with the fields and ids that are asked for, or refused in one line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from mmbeit3.datasets.coco_objects import LARGEST_ID
from mmbeit3.errors import UserError

__all__ = ["key_of", "parse", "read_images", "read_list", "read_names", "read_segments", "read_things", "refuse", "shown"]


def refuse(path: Path, fault: str) -> NoReturn:
    """Raise a UserError about a file."""
    raise UserError(f"'{path}': {fault}")


def parse(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        UserError: if it cannot be read or holds none.
    """

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


def read_list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    """One of the file's lists.

    Raises:
        UserError: if it is missing or no list.
    """
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
            refuse(path, f"{kind} number {place + 1} is a {type(entry).__name__}, not an object")
        for key, types in allowed:
            if key not in entry:
                refuse(path, f"{kind} number {place + 1} ({key_of(entry)}) has no '{key}'")
            if type(entry[key]) not in types:
                where = f"{kind} number {place + 1} ({key_of(entry)})"
                refuse(path, f"'{key}' of {where} is {shown(entry[key])}, not {_kind(types)}")


def key_of(entry: dict[str, Any]) -> str:
    """What to call an entry besides its number."""
    return next((f"{key} {shown(entry[key])}" for key in ("id", "name", "file_name", "image_id") if key in entry), "no id")


def shown(value: Any) -> str:
    """A value as the file has it, cut off where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(types: Iterable[type]) -> str:
    names = {int: "an integer", str: "a text", list: "a list", bool: "true or false"}
    return " or ".join(names[one] for one in types)


def _unique(values: list[Any], kind: str, path: Path, remedy: str) -> None:
    if len(set(values)) < len(values):
        value, count = Counter(values).most_common(1)[0]
        refuse(path, f"{count} {kind} {shown(value)}: {remedy}")


def _check_size(ids: list[Any], kind: str, path: Path) -> None:
    if too_large := [one for one in ids if isinstance(one, int) and abs(one) > LARGEST_ID]:
        refuse(path, f"{kind} has the id {shown(too_large[0])}, which is beyond 64 bits: count ids from 1")


def read_names(categories: list[Any], path: Path) -> dict[int, str]:
    """Category ids to names, in the file's order.

    Raises:
        UserError: naming the first faulty category.
    """
    _entries(categories, "category", {"id": int, "name": str}, path)
    if not categories:
        refuse(path, "its list 'categories' is empty: name the classes there")
    _check_size([one["id"] for one in categories], "a category", path)
    _unique([one["id"] for one in categories], "categories have the id", path, "give each category an id of its own")
    _unique([one["name"] for one in categories], "categories have the name", path, "keep one, and give it to their annotations")
    return {one["id"]: one["name"] for one in categories}


def read_images(images: list[Any], path: Path) -> dict[int | str, tuple[str, int, int]]:
    """Image ids to file name, width and height.

    Raises:
        UserError: naming the first faulty image.
    """
    _entries(images, "image", {"id": (int, str), "file_name": str, "width": int, "height": int}, path)
    if not images:
        refuse(path, "its list 'images' is empty")
    ids = [one["id"] for one in images]
    _check_size(ids, "an image", path)
    if len({type(one) for one in ids}) > 1:
        refuse(path, "some image ids are integers and some are texts: make them all integers")
    _unique(ids, "images have the id", path, "give each image an id of its own")
    for one in images:
        if min(one["width"], one["height"]) <= 0:
            refuse(path, f"image {shown(one['id'])} is {one['width']} x {one['height']} pixels: state its size")
        if not one["file_name"].strip():
            refuse(path, f"image {shown(one['id'])} has an empty 'file_name'")
    return {one["id"]: (one["file_name"], one["width"], one["height"]) for one in images}


def read_things(categories: list[Any], path: Path) -> dict[int, bool]:
    """Category ids to whether they are things.

    Raises:
        UserError: naming the first faulty category.
    """
    _entries(categories, "category", {"isthing": (int, bool)}, path)
    return {one["id"]: bool(one["isthing"]) for one in categories}


def read_segments(
    annotations: list[Any], images: dict[int | str, tuple[str, int, int]], path: Path
) -> tuple[list[dict[str, Any]], dict[int | str, str]]:
    """The segments of panoptic annotations, each with its image's id, and the names of the PNGs.

    Raises:
        UserError: naming the first faulty annotation or segment.
    """
    _entries(annotations, "annotation", {"image_id": (int, str), "file_name": str, "segments_info": list}, path)
    _unique([one["image_id"] for one in annotations], "annotations are of the image", path, "keep one for each image")
    if missing := images.keys() - {one["image_id"] for one in annotations}:
        refuse(path, f"image {shown(min(missing, key=str))} has no panoptic annotation ({len(missing)} images have none)")
    segments: list[dict[str, Any]] = []
    for one in annotations:
        _entries(one["segments_info"], f"segment of image {shown(one['image_id'])},", {"id": int}, path)
        numbers = [segment["id"] for segment in one["segments_info"]]
        _unique(numbers, f"segments of image {shown(one['image_id'])} have the id", path, "give each segment an id of its own")
        if numbers and not 0 < min(numbers) <= max(numbers) < 1 << 24:
            refuse(path, f"a segment id of image {shown(one['image_id'])} is not in 1 to {(1 << 24) - 1}, a colour's range")
        segments += [{**segment, "image_id": one["image_id"]} for segment in one["segments_info"]]
    return segments, {one["image_id"]: one["file_name"] for one in annotations}
