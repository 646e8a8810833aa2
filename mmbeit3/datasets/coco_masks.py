"""Whether the masks of a COCO file can be used: polygons, and run-length encoding (RLE)."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain, starmap
from typing import Any

import numpy as np

__all__ = ["mask_fault", "masks_are_sound", "polygon_limit"]

_MOST_CHARACTERS = 4_000_000
"""Of compressed masks that are looked at, about a second's work; of a file with more, an even sample."""

Sizes = Mapping[int | str, tuple[str, int, int]]


def polygon_limit(images: Sizes) -> float:
    """How large a polygon's coordinates may be, by their root mean square in pixels: well beyond the largest image.

    pycocotools takes memory in proportion to the coordinates. The mean square, because the largest of COCO's fifty million
    would take seconds.
    """
    return 2 * max((max(width, height) for _, width, height in images.values()), default=0) + 16.0


def masks_are_sound(objects: Sequence[dict[str, Any]], images: Sizes) -> bool:
    """Whether :func:`mask_fault` finds nothing in any object; of many compressed masks, a sample is unpacked.

    Args:
        objects: annotations, whose other fields are sound.
        images: image ids to file name, width and height.
    """
    masks = [one.get("segmentation") for one in objects]
    kinds = set(map(type, masks))
    if not kinds <= {list, dict, type(None)}:
        return False
    polygons: list[Any] = list(chain.from_iterable(mask for mask in masks if type(mask) is list))
    try:
        # Nothing in Python runs for each of the coordinates, of which COCO has fifty million.
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        norms = np.array(array("d", starmap(math.hypot, polygons)))
    except (TypeError, OverflowError):
        return False
    if not (set(map(type, polygons)) <= {list} and (lengths >= 6).all() and (lengths % 2 == 0).all()):
        return False
    limit = polygon_limit(images)
    # Also false for what is no number.
    if not (norms <= limit * np.sqrt(lengths)).all():
        return False
    if kinds <= {list, type(None)}:
        return True
    encoded = [one for one, mask in zip(objects, masks, strict=True) if type(mask) is dict]
    if any(_shape_fault(one["segmentation"], images[one["image_id"]]) is not None for one in encoded):
        return False
    packed = [one for one in encoded if type(one["segmentation"]["counts"]) is str]
    characters = sum(len(one["segmentation"]["counts"]) for one in packed)
    plain = [one for one in encoded if type(one["segmentation"]["counts"]) is list]
    return all(mask_fault(one, images, limit) is None for one in (*plain, *packed[:: 1 + characters // _MOST_CHARACTERS]))


def mask_fault(one: dict[str, Any], images: Sizes, limit: float) -> str | None:
    """What is wrong with an object's mask, to be read after its name; None if nothing is, or it has none.

    Args:
        one: an annotation, whose other fields are sound.
        images: image ids to file name, width and height.
        limit: see :func:`polygon_limit`.
    """
    mask = one.get("segmentation")
    if mask is None:
        return None
    if type(mask) is list:
        return next((fault for polygon in mask if (fault := _polygon_fault(polygon, limit))), None)
    if type(mask) is not dict:
        return f"has a 'segmentation' that is a {type(mask).__name__}, neither polygons nor RLE"
    image = images[one["image_id"]]
    return _shape_fault(mask, image) or _counts_fault(mask, image)


def _polygon_fault(polygon: Any, limit: float) -> str | None:
    if type(polygon) is not list:
        return f"has a polygon that is a {type(polygon).__name__}: 'segmentation' is a list of lists x1, y1, x2, y2, ..."
    try:
        norm = math.hypot(*polygon)
    except (TypeError, OverflowError):
        norm = math.inf
    if not math.isfinite(norm):
        return "has a polygon whose coordinates are not all numbers"
    if len(polygon) % 2:
        return f"has a polygon of {len(polygon)} coordinates, an odd number"
    if len(polygon) < 6:
        return f"has a polygon of {len(polygon) // 2} points: three are the least"
    if not norm <= limit * np.sqrt(len(polygon)):
        reach = max(polygon, key=abs)
        return f"has a polygon that reaches to {reach:.4g}, far beyond any image: coordinates are in pixels"
    return None


def _shape_fault(mask: dict[str, Any], image: tuple[str, int, int]) -> str | None:
    _, width, height = image
    if "counts" not in mask or "size" not in mask:
        return "has a 'segmentation' that is neither polygons nor RLE with 'size' and 'counts'"
    if mask["size"] != [height, width]:
        return f"has an RLE mask of size {mask['size']!r:.40} (height, width), but its image is {height} x {width}"
    if type(mask["counts"]) not in (str, list):
        return f"has an RLE mask whose 'counts' is a {type(mask['counts']).__name__}, not a text or a list"
    return None


def _counts_fault(mask: dict[str, Any], image: tuple[str, int, int]) -> str | None:
    """Whether runs add up to the image. pycocotools decodes what is too short without a word."""
    _, width, height = image
    counts = mask["counts"]
    runs = counts if type(counts) is list else _unpack(counts)
    if runs is not None and set(map(type, runs)) <= {int} and min(runs, default=0) >= 0 and sum(runs) == width * height:
        return None
    return "has an RLE mask that is damaged: its runs do not add up to its image"


def _unpack(text: str) -> list[int] | None:
    """Lengths of the runs in COCO's compressed form; None if the text has other characters or ends within a number.

    A character holds five bits of a number, lowest first, and whether more follow; numbers after the third are differences to
    the one before the last.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    return None if shift else runs
