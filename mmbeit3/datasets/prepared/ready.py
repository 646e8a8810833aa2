"""Copies that have this package's layout already: images are linked or copied, annotations are checked and copied."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmbeit3.datasets.layouts import SPLITS
from mmbeit3.datasets.prepared.camvid import pair_up, write_class_list
from mmbeit3.datasets.prepared.sources import Source
from mmbeit3.datasets.prepared.target import Target, progress
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.images.folders import is_image_name

__all__ = ["COCO_LAYOUT", "LABELS_LAYOUT", "WANTED", "convert_coco", "convert_labels", "find_coco", "find_labels"]

WANTED = re.compile(r"(^|/)((train|val)\.json|classes\.txt|images/.+|(annotations|labels)/(train|val)/[^/]+\.png)$")
"""Files of both layouts."""

COCO_LAYOUT = "train.json, val.json and images/"
LABELS_LAYOUT = "images/{train,val} and annotations/{train,val}"

_LABELS = re.compile(r"(^|/)(?P<folder>annotations|labels)/(?P<split>train|val)/(?P<stem>[^/]+)\.png$")


def find_coco(names: Sequence[str]) -> str | None:
    """Return the folder of COCO files in a copy, with a ``/`` at the end or empty; None if there are none."""
    known = set(names)
    roots = (name.removesuffix("train.json") for name in names if f"/{name}".endswith("/train.json"))
    return min((root for root in roots if f"{root}val.json" in known), key=len, default=None)


def convert_coco(source: Source, root: str, target: Target, classes: Sequence[str]) -> list[str]:
    """Copy ``train.json``, ``val.json`` and the images that they name.

    Raises:
        UserError: if a file is missing or damaged, or the categories are not the data set's.
    """
    images: dict[str, list[str]] = {}
    for split in SPLITS:
        name = f"{root}{split}.json"
        content = _read_json(source, name)
        try:
            images[split] = [str(one["file_name"]) for one in content["images"]]
            found = [str(one["name"]) for one in content["categories"]]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"'{name}' in '{source.label}' is not a COCO file ({one_line(error)}): give another copy"
            ) from error
        _check_classes(found, classes, name, source)
    for split, names in images.items():
        for image in progress(names, f"copying {split}"):
            target.copy(source, f"{root}images/{image}", f"images/{image}")
        # Not a hard link: users edit this file.
        target.write(f"{split}.json", partial(source.read, f"{root}{split}.json"))
    return []


def find_labels(names: Sequence[str]) -> str | None:
    """Return the folder of ``images`` and label images in a copy; None if there are none."""
    roots = {name[: match.start("folder")] for name in names if (match := _LABELS.search(name))}
    return min(
        (root for root in roots if any(name.startswith(f"{root}images/train/") for name in names)), key=len, default=None
    )


def convert_labels(source: Source, root: str, target: Target, classes: Sequence[str]) -> list[str]:
    """Copy images, as JPEG, and label images, and write the list of classes.

    Raises:
        UserError: if a file is missing or damaged, or the list of classes is not the data set's.
    """
    if f"{root}classes.txt" in source.names:
        lines = source.read(f"{root}classes.txt").decode("utf-8", "replace").splitlines()
        _check_classes([line.strip() for line in lines if line.strip()], classes, f"{root}classes.txt", source)
    pairs = {split: _pairs(source, root, split) for split in SPLITS}
    for split, found in pairs.items():
        for stem, (image, label) in progress(sorted(found.items()), f"copying {split}"):
            target.copy_as_jpeg(source, image, f"images/{split}/{stem}.jpg")
            target.copy(source, label, f"annotations/{split}/{stem}.png")
    write_class_list(target, classes)
    return []


def _pairs(source: Source, root: str, split: str) -> Mapping[str, tuple[str, str]]:
    """Return stem to the names of image and label image."""
    labels = {}
    for name in source.names:
        match = _LABELS.fullmatch(name.removeprefix(root)) if name.startswith(root) else None
        if match and match["split"] == split:
            labels[match["stem"]] = name
    folder = f"{root}images/{split}/"
    images = {
        name.removeprefix(folder).rpartition(".")[0]: name
        for name in source.names
        if name.startswith(folder) and is_image_name(name.rpartition("/")[2])
    }
    return pair_up(images, labels, source, split)


def _read_json(source: Source, name: str) -> Mapping[str, Any]:
    try:
        content = json.loads(source.read(name))
    except ValueError as error:
        raise UserError(
            f"'{name}' in '{source.label}' is not a complete JSON file ({one_line(error)}): give another copy"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"'{name}' in '{source.label}' is not a COCO file: give another copy")
    return content


def _check_classes(found: Sequence[str], classes: Sequence[str], name: str, source: Source) -> None:
    if list(found) != list(classes):
        raise UserError(
            f"'{name}' in '{source.label}' has the classes {list_first(found)}, but the data set has "
            f"{list_first(classes)}: give a copy of this data set"
        )
