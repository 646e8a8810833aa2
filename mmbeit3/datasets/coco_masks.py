"""Checks of the masks in a COCO file: polygons, and run-length encoding (RLE)."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain, starmap
from typing import Any

import numpy as np

__all__ = ["mask_fault", "masks_are_valid", "polygon_limit"]

_MAX_CHARACTERS = 4_000_000
"""Number of characters of compressed RLE that are decoded, in about a second. Of larger files an even sample is checked."""

Images = Mapping[int | str, tuple[str, int, int]]
"""Image id to file name, width and height in pixels."""


def polygon_limit(images: Images) -> float:
    """Return the largest root mean square of a polygon's coordinates, in pixels: twice the longest image side, plus 16.

    pycocotools needs memory in proportion to the coordinates. The root mean square of a polygon is one call of ``math.hypot``;
    finding the maximum of COCO's fifty million coordinates would take seconds.
    """
    return 2 * max((max(width, height) for _, width, height in images.values()), default=0) + 16.0


def masks_are_valid(objects: Sequence[dict[str, Any]], images: Images) -> bool:
    """Return True if :func:`mask_fault` finds no fault in any object. Of many compressed masks, only a sample is decoded.

    Args:
        objects: annotations, whose other fields are valid.
        images: image id to file name, width and height in pixels.
    """
    masks = [one.get("segmentation") for one in objects]
    kinds = set(map(type, masks))
    if not kinds <= {list, dict, type(None)}:
        return False
    polygons: list[Any] = list(chain.from_iterable(mask for mask in masks if type(mask) is list))
    try:
        # COCO has fifty million coordinates, so no Python code runs per coordinate.
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        norms = np.array(array("d", starmap(math.hypot, polygons)))
    except (TypeError, OverflowError):
        return False
    if not (set(map(type, polygons)) <= {list} and (lengths >= 6).all() and (lengths % 2 == 0).all()):
        return False
    limit = polygon_limit(images)
    # Also False for NaN.
    if not (norms <= limit * np.sqrt(lengths)).all():
        return False
    if kinds <= {list, type(None)}:
        return True
    rle = [one for one, mask in zip(objects, masks, strict=True) if type(mask) is dict]
    if any(_rle_header_fault(one["segmentation"], images[one["image_id"]]) is not None for one in rle):
        return False
    # COCO has two forms of RLE: 'counts' as a list of run lengths, or as a compressed string.
    compressed = [one for one in rle if type(one["segmentation"]["counts"]) is str]
    characters = sum(len(one["segmentation"]["counts"]) for one in compressed)
    plain = [one for one in rle if type(one["segmentation"]["counts"]) is list]
    step = 1 + characters // _MAX_CHARACTERS
    return all(mask_fault(one, images, limit) is None for one in (*plain, *compressed[::step]))


def mask_fault(one: dict[str, Any], images: Images, limit: float) -> str | None:
    """Describe the fault of an object's mask, in words that follow the object's name. None if it is valid or absent.

    Args:
        one: an annotation, whose other fields are valid.
        images: image id to file name, width and height in pixels.
        limit: see :func:`polygon_limit`.
    """
    mask = one.get("segmentation")
    if mask is None:
        return None
    if type(mask) is list:
        return next((fault for polygon in mask if (fault := _polygon_fault(polygon, limit))), None)
    if type(mask) is not dict:
        return f"has a 'segmentation' of type {type(mask).__name__}: write a list of polygons, or RLE"
    image = images[one["image_id"]]
    return _rle_header_fault(mask, image) or _rle_runs_fault(mask, image)


def _polygon_fault(polygon: Any, limit: float) -> str | None:
    if type(polygon) is not list:
        return f"has a polygon of type {type(polygon).__name__}: write 'segmentation' as a list of lists [x1, y1, x2, y2, ...]"
    try:
        norm = math.hypot(*polygon)
    except (TypeError, OverflowError):
        norm = math.inf
    if not math.isfinite(norm):
        return "has a polygon with a coordinate that is not a number: write x1, y1, x2, y2, ... in pixels"
    if len(polygon) % 2:
        return f"has a polygon of {len(polygon)} coordinates, an odd number: write x and y for each point"
    if len(polygon) < 6:
        return f"has a polygon of {len(polygon) // 2} points: write at least three points"
    if not norm <= limit * np.sqrt(len(polygon)):
        reach = max(polygon, key=abs)
        return f"has a polygon with the coordinate {reach:.4g}, far beyond any image: write coordinates in pixels"
    return None


def _rle_header_fault(mask: dict[str, Any], image: tuple[str, int, int]) -> str | None:
    _, width, height = image
    # COCO writes the size as height, width.
    if "counts" not in mask or "size" not in mask:
        return "has a 'segmentation' without 'size' or 'counts': write polygons, or RLE with both"
    if mask["size"] != [height, width]:
        size = f"{mask['size']!r:.40}"
        return f"has an RLE mask of size {size} (height, width), but its image is {height} x {width}: give both the same size"
    if type(mask["counts"]) not in (str, list):
        return f"has an RLE mask whose 'counts' has the type {type(mask['counts']).__name__}: write a string or a list"
    return None


def _rle_runs_fault(mask: dict[str, Any], image: tuple[str, int, int]) -> str | None:
    """Check that the run lengths add up to the image's pixels. pycocotools decodes shorter masks without an error."""
    _, width, height = image
    counts = mask["counts"]
    runs = counts if type(counts) is list else _decode_counts(counts)
    if runs is not None and set(map(type, runs)) <= {int} and min(runs, default=0) >= 0 and sum(runs) == width * height:
        return None
    return f"has a damaged RLE mask, whose run lengths do not add up to its image's {width * height} pixels: encode it again"


def _decode_counts(text: str) -> list[int] | None:
    """Decode the run lengths of COCO's compressed RLE. None if the text has other characters or ends within a number.

    The format is that of ``rleToString`` in pycocotools' maskApi.c. Each character, minus 48, has six bits: five bits of a
    number, lowest first, and a flag (32) that more bits follow. Numbers are signed. From the fourth on, a number is the
    difference to the run length two places earlier, because runs of equal value often have similar lengths.
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
        # Bit 16 of the last group is the sign.
        if bits & 16:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    return None if shift else runs
