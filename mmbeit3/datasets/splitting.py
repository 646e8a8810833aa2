"""Split data into training and validation. Images are not moved: annotation files or lists of names are written."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmbeit3.datasets.coco_file import read_coco
from mmbeit3.datasets.coco_records import read_coco_json
from mmbeit3.datasets.layouts import SPLITS, CocoFiles, LabelImages, find_layout, only_suffix
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
        return _split_coco(path, path.parent.parent if path.parent.name == "annotations" else path.parent, share, seed)
    layout = find_layout(path)
    if isinstance(layout, CocoFiles):
        if set(layout.files) == {"train", "val"}:
            raise UserError(f"'{path}' is split already: it has {layout.files['train'][0]} and {layout.files['val'][0]}")
        if layout.files:
            file = next(iter(layout.files.values()))[0]
            remedy = "rename it to 'all.json', and split again"
            if layout.unsplit:
                remedy = f"if it was split from {list_first(layout.unsplit)}, remove it, and split again"
            raise UserError(f"'{path / file}' has the name of a split, but is alone: {remedy}")
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

    No class is only in validation if at least as many items are left for training as there are classes.

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
    left = {name: len(members) for name, members in of_class.items()}
    chosen: set[Any] = set()

    def choose(item: Any) -> None:
        chosen.add(item)
        for name in set(groups[item]):
            left[name] -= 1

    def is_last(item: Any) -> bool:
        """Return True if training would lose a class with the item."""
        return any(left[name] == 1 for name in groups[item])

    # Rare classes first.
    for members in sorted(of_class.values(), key=len):
        if len(chosen) < count and chosen.isdisjoint(members):
            free = next((item for item in members if not is_last(item)), None)
            if free is not None:
                choose(free)
    for item in items:
        if len(chosen) < count and item not in chosen and not is_last(item):
            choose(item)
    for item in items:
        if len(chosen) < count:
            chosen.add(item)
    return chosen


def _split_coco(path: Path, folder: Path, share: float, seed: int) -> dict[str, tuple[Path, int]]:
    read_coco(path)
    content = read_coco_json(path)
    groups: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
    for one in content.get("annotations") or []:
        groups[one["image_id"]].append(one.get("category_id"))
    val = choose_val(groups, share, seed)
    contents, counts = {}, {}
    for split in SPLITS:
        images = [image for image in content["images"] if (image["id"] in val) == (split == "val")]
        chosen = [one for one in content.get("annotations") or [] if (one["image_id"] in val) == (split == "val")]
        contents[split] = json.dumps({**content, "images": images, "annotations": chosen}).encode()
        counts[split] = len(images)
    return _write(folder, ".json", contents, counts)


def _split_labels(root: Path, images: str, labels: str, share: float, seed: int) -> dict[str, tuple[Path, int]]:
    image_suffix, label_suffix = only_suffix(root / images), only_suffix(root / labels)
    with_labels = {name.removesuffix(label_suffix) for name in walk_files(root / labels)}
    stems = sorted(name.removesuffix(image_suffix) for name in walk_files(root / images) if name.endswith(image_suffix))
    groups: dict[str, list[Any]] = {stem: [] for stem in stems if stem in with_labels}
    val = choose_val(groups, share, seed)
    chosen = {split: [stem for stem in groups if (stem in val) == (split == "val")] for split in SPLITS}
    contents = {split: "".join(f"{stem}\n" for stem in stems).encode() for split, stems in chosen.items()}
    return _write(root, ".txt", contents, {split: len(stems) for split, stems in chosen.items()})


def _write(folder: Path, suffix: str, contents: Mapping[str, bytes], counts: Mapping[str, int]) -> dict[str, tuple[Path, int]]:
    """Write the files of both splits, or none. Return split to its file and its number of images."""
    paths = {split: folder / f"{split}{suffix}" for split in contents}
    for path in paths.values():
        if path.exists():
            raise UserError(f"'{path}' exists: the data are split already; remove it to split again")
    written: list[Path] = []
    try:
        for split, path in paths.items():
            write_atomically(path, contents[split])
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink()
        raise
    return {split: (path, counts[split]) for split, path in paths.items()}
