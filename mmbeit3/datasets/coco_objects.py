"""Two checks of a COCO file's objects: all at once as arrays, which is fast, and one by one, which describes the fault."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

__all__ = ["LARGEST_ID", "Columns", "object_fault", "read_columns"]


LARGEST_ID = (1 << 63) - 1
"""Largest id that fits into int64."""


class Columns(NamedTuple):
    """Fields of N objects as arrays.

    Attributes:
        ids: int64 (N,).
        images: index of each object's image among the file's images, int64 (N,).
        categories: category ids, int64 (N,).
        boxes: x, y, width, height in pixels, float64 (N, 4).
        areas: in pixels, float64 (N,).
        crowds: ``iscrowd`` of each object; None if it is missing.
    """

    ids: np.ndarray
    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowds: list[Any]


def read_columns(
    objects: Sequence[Any], images: Collection[Any], categories: Collection[Any], unique_ids: bool = True
) -> Columns | None:
    """Read the fields of all objects into arrays.

    COCO has 860,000 objects, so the checks run on arrays and not in a Python loop.

    Args:
        objects: annotations, or segments of panoptic ones with their ``image_id``.
        images: ids of the file's images.
        categories: ids of its categories.
        unique_ids: also check that ids are unique.

    Returns:
        The fields; None if :func:`object_fault` finds a fault in an object, or ids are not unique.
    """
    try:
        # array('q') and array('d') raise TypeError for strings, lists and None; 'q' also for floats.
        ids, category_ids = (np.array(array("q", map(itemgetter(key), objects))) for key in ("id", "category_id"))
        areas = np.array(array("d", map(itemgetter("area"), objects)))
        boxes = list(map(itemgetter("bbox"), objects))
        if not (set(map(type, boxes)) <= {list} and set(map(len, boxes)) <= {4}):
            return None
        sides = np.array(array("d", chain.from_iterable(boxes))).reshape(-1, 4)
        crowds = [one.get("iscrowd") for one in objects]
        indices = _image_indices(list(map(itemgetter("image_id"), objects)), images)
        flags = set(map(type, crowds)) <= {int, bool, type(None)} and set(crowds) <= {0, 1, None}
    except (KeyError, TypeError, AttributeError, OverflowError):
        return None
    valid = (
        indices is not None
        and flags
        and (ids >= 0).all()
        and (not unique_ids or len(np.unique(ids)) == len(ids))
        and set(np.unique(category_ids).tolist()) <= set(categories)
        and np.isfinite(sides).all()
        and (sides[:, 2:] >= 0).all()
        and np.isfinite(areas).all()
        and (areas >= 0).all()
    )
    return Columns(ids, indices, category_ids, sides, areas, crowds) if indices is not None and valid else None


def _image_indices(image_ids: list[Any], images: Collection[Any]) -> np.ndarray | None:
    """Return the index of each id among the images; None if an id is not among them."""
    if not all(type(one) is int for one in images):
        index_of = {image_id: index for index, image_id in enumerate(images)}
        return np.fromiter(map(index_of.__getitem__, image_ids), np.int64, len(image_ids))
    wanted, known = np.array(array("q", image_ids)), np.array(array("q", images))
    # Binary search in the sorted ids; an unknown id gives a neighbour, which the comparison below finds.
    order = known.argsort()
    indices = order[known[order].searchsorted(wanted).clip(max=len(known) - 1)]
    return indices if (known[indices] == wanted).all() else None


def object_fault(one: dict[str, Any], images: Collection[Any], categories: Collection[Any]) -> str | None:
    """Describe the fault of an object, in words that follow its name. None if it is valid.

    Args:
        one: an annotation, or a segment of a panoptic one with its ``image_id``.
        images: ids of the file's images.
        categories: ids of its categories.
    """
    for key in ("id", "image_id", "category_id", "bbox", "area"):
        if key not in one:
            return f"has no '{key}': add it"
    if not isinstance(one["id"], int) or not 0 <= one["id"] <= LARGEST_ID:
        return "has an id that is not an integer from 0 to 2^63 - 1: count ids from 1"
    if not isinstance(one["image_id"], int | str) or one["image_id"] not in images:
        return f"has the image_id {one['image_id']!r}, which is not in the file's 'images': add the image, or remove this entry"
    if not isinstance(one["category_id"], int) or one["category_id"] not in categories:
        return f"has the category_id {one['category_id']!r}, which is not in the file's 'categories': add it, or correct the id"
    box = one["bbox"]
    if type(box) is not list or len(box) != 4 or not all(map(_is_number, box)):
        return f"has the 'bbox' {box!r:.60}: write four numbers, x, y, width, height in pixels"
    if min(box[2:]) < 0:
        return f"has the 'bbox' {box} of negative size: write x, y, width, height in pixels"
    if not _is_number(one["area"]) or one["area"] < 0:
        return f"has the 'area' {one['area']!r:.60}: write the number of its pixels"
    crowd = one.get("iscrowd")
    if type(crowd) not in (int, bool, type(None)) or crowd not in (0, 1, None):
        return f"has 'iscrowd' {crowd!r:.60}: write 0 or 1"
    return None


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False
