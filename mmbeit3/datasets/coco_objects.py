"""The objects of a COCO file: as columns, which is fast, and one by one, which says what is wrong."""

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


class Columns(NamedTuple):
    """Fields of N objects.

    Attributes:
        ids: int64 (N,).
        images: place of each object's image among the file's images, int64 (N,).
        categories: category ids, int64 (N,).
        boxes: x, y, width, height in pixels, float64 (N, 4).
        areas: in pixels, float64 (N,).
        crowds: ``iscrowd`` of each object; None where it is missing.
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
    """Take the fields of all objects, if :func:`object_fault` finds nothing in any and ids are unique; else None.

    Nothing in Python runs object by object: COCO has 860,000.

    Args:
        objects: annotations, or segments of panoptic ones with their ``image_id``.
        images: ids of the file's images.
        categories: ids of its categories.
        unique_ids: whether two objects may not have the same id.
    """
    try:
        # Arrays of one type refuse texts, lists and nothing; integers also refuse numbers with a fraction.
        ids, category_ids = (np.array(array("q", map(itemgetter(key), objects))) for key in ("id", "category_id"))
        areas = np.array(array("d", map(itemgetter("area"), objects)))
        boxes = list(map(itemgetter("bbox"), objects))
        if not (set(map(type, boxes)) <= {list} and set(map(len, boxes)) <= {4}):
            return None
        sides = np.array(array("d", chain.from_iterable(boxes))).reshape(-1, 4)
        crowds = [one.get("iscrowd") for one in objects]
        places = _places(list(map(itemgetter("image_id"), objects)), images)
        flags = set(map(type, crowds)) <= {int, bool, type(None)} and set(crowds) <= {0, 1, None}
    except (KeyError, TypeError, AttributeError, OverflowError):
        return None
    sound = (
        places is not None
        and flags
        and (ids >= 0).all()
        and (not unique_ids or len(np.unique(ids)) == len(ids))
        and set(np.unique(category_ids).tolist()) <= set(categories)
        and np.isfinite(sides).all()
        and (sides[:, 2:] >= 0).all()
        and np.isfinite(areas).all()
        and (areas >= 0).all()
    )
    return Columns(ids, places, category_ids, sides, areas, crowds) if places is not None and sound else None


def _places(image_ids: list[Any], images: Collection[Any]) -> np.ndarray | None:
    """Where each id stands among the images; None if one of them does not."""
    if not all(type(one) is int for one in images):
        place = {number: index for index, number in enumerate(images)}
        return np.fromiter(map(place.__getitem__, image_ids), np.int64, len(image_ids))
    wanted, known = np.array(array("q", image_ids)), np.array(array("q", images))
    order = known.argsort()
    places = order[known[order].searchsorted(wanted).clip(max=len(known) - 1)]
    return places if (known[places] == wanted).all() else None


def object_fault(one: dict[str, Any], images: Collection[Any], categories: Collection[Any]) -> str | None:
    """What is wrong with an object, to be read after its name; None if nothing is.

    Args:
        one: an annotation, or a segment of a panoptic one with its ``image_id``.
        images: ids of the file's images.
        categories: ids of its categories.
    """
    for key in ("id", "image_id", "category_id", "bbox", "area"):
        if key not in one:
            return f"has no '{key}'"
    if not isinstance(one["id"], int) or not 0 <= one["id"] <= LARGEST_ID:
        return "has an id that is no integer from 0 to 2^63 - 1: count ids from 1"
    if not isinstance(one["image_id"], int | str) or one["image_id"] not in images:
        return f"is of image {one['image_id']!r}, which is not among the file's images"
    if not isinstance(one["category_id"], int) or one["category_id"] not in categories:
        return f"has category id {one['category_id']!r}, which is not among the file's categories"
    box = one["bbox"]
    if type(box) is not list or len(box) != 4 or not all(map(_is_number, box)):
        return f"has the 'bbox' {box!r:.60}, which is not four numbers: x, y, width, height in pixels"
    if min(box[2:]) < 0:
        return f"has a 'bbox' of negative size, {box}: COCO's boxes are x, y, width, height in pixels"
    if not _is_number(one["area"]) or one["area"] < 0:
        return f"has the 'area' {one['area']!r:.60}, which is no number of pixels"
    crowd = one.get("iscrowd")
    if type(crowd) not in (int, bool, type(None)) or crowd not in (0, 1, None):
        return f"has 'iscrowd' {crowd!r:.60}, which is neither 0 nor 1"
    return None


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False
