"""Writer of COCO files for conversions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmbeit3.datasets.prepared.target import Target

__all__ = ["write_coco"]


def write_coco(
    target: Target, split: str, classes: Sequence[str], images: Iterable[tuple[str, int, int, list[Mapping[str, Any]]]]
) -> None:
    """Write ``SPLIT.json``. Ids count from 1.

    Args:
        target: the folder.
        split: ``train`` or ``val``.
        classes: category names; category ids are their positions, from 1.
        images: file name, width, height, and objects with ``category_id``, ``bbox``, ``area`` and perhaps ``segmentation``.
    """
    listed, objects = [], list[dict[str, Any]]()
    for number, (name, width, height, found) in enumerate(images, start=1):
        listed.append({"id": number, "file_name": name, "width": width, "height": height})
        objects += [{"id": len(objects) + i, "image_id": number, "iscrowd": 0, **one} for i, one in enumerate(found, start=1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    content = {"images": listed, "annotations": objects, "categories": categories}
    target.write(f"{split}.json", lambda: json.dumps(content).encode())
