"""Split data into training and validation. Images are not moved: annotation files or lists of names are written."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmbeit3.datasets.coco_file import read_coco
from mmbeit3.datasets.coco_records import read_coco_json
from mmbeit3.datasets.layouts import CocoFiles, LabelImages, find_layout, only_suffix
from mmbeit3.errors import UserError, list_first
from mmbeit3.files import write_atomically
from mmbeit3.images.folders import walk_files

__all__ = ["choose_val", "split_folder"]


def split_folder(folder: str | Path, share: float = 0.2, seed: int = 0) -> dict[str, tuple[Path, int]]:
    """Write ``train.json`` and ``val.json`` from one COCO file, or ``train.txt`` and ``val.txt`` for label images.

    Args:
        folder: the folder of data, or a COCO file in it.
        share: share of the images for validation, 0 to 1.
        seed: seed of the choice.

    Returns:
        Split to the file that was written, and its number of images.

    Raises:
        UserError: if the data are split already, or there is nothing to split.
    """
    if not 0 < share < 1:
        raise UserError(f"the share of validation images is {share}: give a number between 0 and 1, such as 0.2")
    path = Path(folder)
    if path.suffix == ".json" and path.is_file():
        return _split_coco(path, path.parent, share, seed)
    layout = find_layout(path)
    if isinstance(layout, CocoFiles):
        if set(layout.files) == {"train", "val"}:
            raise UserError(f"'{path}' is split already: it has {layout.files['train'][0]} and {layout.files['val'][0]}")
        if layout.files:
            file = next(iter(layout.files.values()))[0]
            raise UserError(f"'{path / file}' has the name of a split, but is alone: rename it to 'all.json', and split again")
        if len(layout.unsplit) != 1:
            raise UserError(
                f"'{path}' has the files {list_first(layout.unsplit)}: name the one to split, --split {path}/FILE.json"
            )
        return _split_coco(path / layout.unsplit[0], path, share, seed)
    if isinstance(layout, LabelImages):
        if set(layout.folders) != {"all"}:
            raise UserError(f"'{path}' is split already, into {list_first(layout.folders)}")
        return _split_labels(path, *layout.folders["all"], share, seed)
    raise UserError(f"'{path}' has no COCO file and no label images to split: see 'Lay out the data' in docs/own-data.md")


def choose_val(groups: Mapping[Any, Iterable[Any]], share: float, seed: int) -> set[Any]:
    """Choose items for validation at random, so that each class of at least two items is in both splits if possible.

    Args:
        groups: item to its classes.
        share: share of the items to choose, 0 to 1; at least one is chosen, and one is left.
        seed: seed of the choice.

    Raises:
        UserError: if there are fewer than two items.
    """
    items = list(groups)
    if len(items) < 2:
        raise UserError(f"{len(items)} images cannot be split: at least 2 are needed")
    random.Random(seed).shuffle(items)
    count = min(max(1, round(share * len(items))), len(items) - 1)
    of_class: dict[Any, list[Any]] = {}
    for item in items:
        for name in set(groups[item]):
            of_class.setdefault(name, []).append(item)
    chosen: dict[Any, None] = {}
    # Rare classes first: one image of each, as long as another image keeps the class.
    for members in sorted(of_class.values(), key=len):
        if len(chosen) < count and len(members) > 1 and not any(item in chosen for item in members):
            chosen[members[0]] = None
    for item in items:
        last = any(all(other in chosen or other == item for other in of_class[name]) for name in groups[item])
        if len(chosen) < count and not last:
            chosen[item] = None
    for item in items:
        if len(chosen) < count:
            chosen[item] = None
    return set(chosen)


def _split_coco(path: Path, folder: Path, share: float, seed: int) -> dict[str, tuple[Path, int]]:
    read_coco(path)
    content = read_coco_json(path)
    groups: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
    for one in content.get("annotations") or []:
        groups[one["image_id"]].append(one.get("category_id"))
    val = choose_val(groups, share, seed)
    written: dict[str, tuple[Path, int]] = {}
    for split in ("train", "val"):
        target = _new_file(folder / f"{split}.json")
        images = [image for image in content["images"] if (image["id"] in val) == (split == "val")]
        chosen = [one for one in content.get("annotations") or [] if (one["image_id"] in val) == (split == "val")]
        write_atomically(target, json.dumps({**content, "images": images, "annotations": chosen}).encode())
        written[split] = target, len(images)
    return written


def _split_labels(root: Path, images: str, labels: str, share: float, seed: int) -> dict[str, tuple[Path, int]]:
    image_suffix, label_suffix = only_suffix(root / images), only_suffix(root / labels)
    with_labels = {name.removesuffix(label_suffix) for name in walk_files(root / labels)}
    stems = sorted(name.removesuffix(image_suffix) for name in walk_files(root / images) if name.endswith(image_suffix))
    groups: dict[str, list[Any]] = {stem: [] for stem in stems if stem in with_labels}
    val = choose_val(groups, share, seed)
    written: dict[str, tuple[Path, int]] = {}
    for split in ("train", "val"):
        chosen = [stem for stem in groups if (stem in val) == (split == "val")]
        target = _new_file(root / f"{split}.txt")
        write_atomically(target, "".join(f"{stem}\n" for stem in chosen).encode())
        written[split] = target, len(chosen)
    return written


def _new_file(path: Path) -> Path:
    if path.exists():
        raise UserError(f"'{path}' exists: the data are split already; remove it to split again")
    return path
