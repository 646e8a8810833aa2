"""Values of the page's fields for results of detection and segmentation: the picture, a table, and files to download."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mmbeit3.images import encode_image
from mmbeit3.inference.areas import Regions, Segments
from mmbeit3.inference.results import Objects, Result
from mmbeit3.web.tab import Table

__all__ = ["File", "coco_file", "label_file", "make_table", "shrink"]

File = tuple[str, bytes]
"""Name and content of a file to download."""

_LARGEST_PICTURE = 2000
"""Longer side of pictures on the page, in pixels: a browser takes long for more."""


def shrink(picture: np.ndarray, longest: int = _LARGEST_PICTURE) -> np.ndarray:
    """Make a picture (H, W, 3) smaller if its longer side has more than ``longest`` pixels."""
    scale = longest / max(picture.shape[:2])
    return picture if scale >= 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def make_table(result: Result) -> Table:
    """Return the objects, segments or classes of a result, with the number of each class in the summary."""
    if isinstance(result, Objects):
        return _object_table(result)
    if isinstance(result, Segments):
        return _segment_table(result)
    assert isinstance(result, Regions)
    return _region_table(result)


def coco_file(result: Result, stem: str) -> File:
    """Return the result in COCO's result format as JSON. Each entry also has ``category_name``."""
    rows = [{**row, "category_name": result.classes[row["category_id"] - 1]} for row in result.to_coco()]
    return f"{stem}_results.json", json.dumps(rows, indent=1).encode()


def label_file(result: Result, stem: str) -> File | None:
    """Return the PNG file of :meth:`~mmbeit3.inference.results.Regions.save_labels`; None for a detector."""
    if isinstance(result, Regions):
        return f"{stem}_labels.png", encode_image(Path("labels.png"), result.labels)
    if isinstance(result, Segments):
        return f"{stem}_segments.png", encode_image(Path("labels.png"), result.ids.astype(np.uint16))
    return None


def _object_table(result: Objects) -> Table:
    sides = result.boxes[:, 2:] - result.boxes[:, :2]
    areas = sides.prod(1) if result.masks is None else [mask.area for mask in result.masks]
    rows = []
    for label, score, box, (width, height), area in zip(result.labels, result.scores, result.boxes, sides, areas, strict=True):
        place = f"{box[0]:.0f}, {box[1]:.0f}, {width:.0f} x {height:.0f}"
        rows.append((result.classes[label], f"{score:.2f}", place, f"{area:,.0f}"))
    kind = "Box area" if result.masks is None else "Mask area"
    summary = _summary(result.counts(), "object") or "No object reaches the score threshold"
    return Table(summary, ("Class", "Score", "Box: x, y, size", kind), tuple(rows), _colours(result, result.labels))


def _segment_table(result: Segments) -> Table:
    sizes = np.bincount(result.ids.reshape(-1), minlength=len(result.segments) + 1)
    segments = sorted(result.segments, key=lambda segment: -sizes[segment.id])
    rows = [
        (
            result.classes[segment.label],
            "object" if segment.is_thing else "region",
            "" if segment.score is None else f"{segment.score:.2f}",
            _percent(sizes[segment.id] / result.ids.size),
        )
        for segment in segments
    ]
    summary = _summary(result.counts(), "segment") or "Nothing found"
    colours = _colours(result, np.array([segment.label for segment in segments], np.int64))
    return Table(summary, ("Class", "Kind", "Score", "Pixels"), tuple(rows), colours)


def _region_table(result: Regions) -> Table:
    shares = result.shares()
    rows = tuple((name, _percent(share)) for name, share in shares.items())
    classes = "1 class" if len(rows) == 1 else f"{len(rows)} classes"
    labels = np.array([result.classes.index(name) for name in shares], np.int64)
    return Table(f"{classes} of {len(result.classes)}", ("Class", "Pixels"), rows, _colours(result, labels))


def _summary(counts: Mapping[str, int], what: str) -> str:
    """Return the total and the counts per class, such as ``3 objects: 2 cat, 1 dog``; an empty string without any."""
    total = sum(counts.values())
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{total} {what}{'s' if total > 1 else ''}: {listed}" if total else ""


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


def _colours(result: Result, labels: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(red), int(green), int(blue)) for red, green, blue in result.colours[labels])
