"""Data settings of a recipe: folders, classes and number of training images, read from the folder of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from mmbeit3.datasets.annotations import find_missing, read_lines
from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.coco_records import read_coco_json, read_list, read_names
from mmbeit3.datasets.labels import IGNORED, decode_labels
from mmbeit3.datasets.layouts import SPLITS, ClassFolders, CocoFiles, ImagesOnly, LabelImages, Layout, find_layout, only_suffix
from mmbeit3.datasets.progress import show_progress
from mmbeit3.errors import UserError, list_first
from mmbeit3.images import naming_image
from mmbeit3.images.folders import walk_files

__all__ = ["CLASSES_FILE", "RecipeData", "counts_from_one", "read_class_list", "read_recipe_data"]

CLASSES_FILE = "classes.txt"
"""File in a folder of label images that has one class name per line, in the order of the classes' numbers."""


@dataclass(frozen=True)
class RecipeData:
    """Data of a recipe.

    Attributes:
        classes: class names, in the order of the labels.
        train_images: number of training images that have objects, or of all for label images.
        datasets: split to the settings of its dataset.
        ann_files: split to the path of its COCO file; empty for label images.
    """

    classes: tuple[str, ...]
    train_images: int
    datasets: dict[str, dict[str, Any]]
    ann_files: dict[str, str]


def read_recipe_data(
    task: str, folder: str, classes: Sequence[str] | None = None, reduce_zero_label: bool | None = None
) -> RecipeData:
    """Read the data settings of a recipe from a folder.

    Args:
        task: ``detection``, ``instance`` or ``semantic``.
        folder: the folder of data.
        classes: class names; None reads them from the folder. For COCO files they must be the file's.
        reduce_zero_label: True if classes of label images count from 1, and 0 means ignored; None finds out.

    Raises:
        UserError: if the folder does not have the files that the task needs.
    """
    layout = find_layout(folder)
    if task == "semantic":
        if not isinstance(layout, LabelImages):
            raise _wrong_layout(task, layout)
        return _read_labels(layout, classes, reduce_zero_label)
    if not isinstance(layout, CocoFiles):
        raise _wrong_layout(task, layout)
    return _read_coco(task, layout, classes)


def read_class_list(root: Path, classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the class names of label images, from the recipe or from :data:`CLASSES_FILE`.

    Raises:
        UserError: if there are none.
    """
    if chosen := _as_names(classes):
        return chosen
    path = root / CLASSES_FILE
    if not path.is_file():
        raise UserError(
            f"'{path}' does not exist: write one class name per line, in the order of their numbers in the label images, or "
            "set recipe.classes"
        )
    names = tuple(read_lines(path, "class names", marked=True))
    if not names:
        raise UserError(f"'{path}' is empty: write one class name per line, in the order of their numbers")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"'{path}' has the class '{twice[0]}' twice: name each class once")
    return names


def counts_from_one(numbers: set[int], classes: int, where: str) -> bool:
    """Find out from the numbers in label images if classes count from 1, and 0 means ignored.

    Raises:
        UserError: if the numbers do not tell.
    """
    if classes in numbers:
        return True
    if 0 in numbers:
        return False
    raise UserError(
        f"the label images in '{where}' have neither the number 0 nor {classes}, so the {classes} classes may count from 0 or "
        "from 1: set recipe.reduce_zero_label=False (from 0) or True (from 1)"
    )


def _as_names(classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the class names of a recipe. The command line gives a single one as a string."""
    if isinstance(classes, str):
        return (classes,)
    return tuple(str(name) for name in classes or ())


def _wrong_layout(task: str, layout: Layout) -> UserError:
    wanted = (
        "images/train, images/val, labels/train and labels/val"
        if task == "semantic"
        else "COCO files (images/, train.json and val.json)"
    )
    held = {
        CocoFiles: "has COCO files: use configs/mine/detection.py for boxes, or configs/mine/instance.py for masks",
        LabelImages: "has label images: use configs/mine/semantic.py",
        ClassFolders: "has one folder of images per class, which is classification: see 'Classification' in docs/own-data.md",
        ImagesOnly: "has images without annotations: add them, see 'Lay out the data' in docs/own-data.md",
    }[type(layout)]
    return UserError(f"the {task} recipe needs {wanted}, but '{layout.root}' {held}")


def _read_coco(task: str, layout: CocoFiles, classes: Sequence[str] | None) -> RecipeData:
    root = layout.root
    if missing := [split for split in SPLITS if split not in layout.files]:
        held = list_first([*(file for file, _ in layout.files.values()), *layout.unsplit], 3)
        raise UserError(
            f"'{root}' has {held}, but no {missing[0]}.json: `python tools/prepare_data.py --split {quote(str(root))}` writes "
            "train.json and val.json from one COCO file"
        )
    names: dict[str, tuple[str, ...]] = {}
    train_images = 0
    for split, (file, _) in layout.files.items():
        path = root / file
        content = read_coco_json(path)
        names[split] = tuple(read_names(read_list(content, "categories", path), path).values())
        annotations = read_list(content, "annotations", path)
        if split == "train":
            train_images = len({one.get("image_id") for one in annotations if isinstance(one, dict)})
            if not annotations:
                raise UserError(f"'{path}' has no annotations: check that it is the right file")
        if task == "instance" and not any(isinstance(one, dict) and one.get("segmentation") for one in annotations):
            raise UserError(
                f"'{path}' has boxes but no masks, which the instance recipe needs: use configs/mine/detection.py, or add "
                "'segmentation' to the annotations"
            )
    if names["train"] != names["val"]:
        raise UserError(
            f"'{root / layout.files['train'][0]}' and '{root / layout.files['val'][0]}' have different categories "
            f"({list_first(names['train'])}; {list_first(names['val'])}): give both the same, in the same order"
        )
    chosen = _as_names(classes) or names["train"]
    if not chosen:
        raise UserError(f"'{root / layout.files['train'][0]}' has no categories: add them")
    datasets = {
        split: {"data_root": f"{root}/", "ann_file": file, "data_prefix": {"img": f"{folder}/" if folder else ""}}
        for split, (file, folder) in layout.files.items()
    }
    ann_files = {split: str(root / file) for split, (file, _) in layout.files.items()}
    return RecipeData(chosen, train_images, datasets, ann_files)


def _read_labels(layout: LabelImages, classes: Sequence[str] | None, reduce_zero_label: bool | None) -> RecipeData:
    root = layout.root
    if missing := [split for split in SPLITS if split not in layout.folders]:
        raise UserError(
            f"'{root}' has no images/{missing[0]} and no {missing[0]}.txt: `python tools/prepare_data.py --split "
            f"{quote(str(root))}` writes train.txt and val.txt, lists of the names"
        )
    names = read_class_list(root, classes)
    datasets: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        images, labels = layout.folders[split]
        datasets[split] = {
            "data_root": f"{root}/",
            "data_prefix": {"img_path": images, "seg_map_path": labels},
            "img_suffix": only_suffix(root / images),
            "seg_map_suffix": only_suffix(root / labels),
        }
        if split in layout.lists:
            datasets[split]["ann_file"] = layout.lists[split]
    stems = {split: _read_stems(layout, split, datasets[split]["img_suffix"]) for split in SPLITS}
    if reduce_zero_label is None:
        folders = {split: f"{root / layout.folders[split][1]}/" for split in SPLITS}
        paths = {
            split: [f"{folders[split]}{stem}{datasets[split]['seg_map_suffix']}" for stem in stems[split]] for split in SPLITS
        }
        numbers = _read_ends([*sample(paths["train"], 100), *paths["train"], *paths["val"]], len(names))
        reduce_zero_label = counts_from_one(numbers, len(names), str(root))
    for dataset in datasets.values():
        dataset["reduce_zero_label"] = reduce_zero_label
    return RecipeData(names, len(stems["train"]), datasets, {})


def _read_stems(layout: LabelImages, split: str, suffix: str) -> list[str]:
    """Return the names of a split's images without the suffix."""
    if split in layout.lists:
        return read_lines(layout.root / layout.lists[split], "list of images")
    names = walk_files(layout.root / layout.folders[split][0])
    return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))


def _read_ends(paths: list[str], last: int) -> set[int]:
    """Find out which of the numbers 0 and ``last`` label images have. Reads them until one has the last number.

    All are read if none has it, because a rare class may be the last. Missing files are left to the checks of the data.
    """
    numbers: set[int] = set()
    missing = set(find_missing(paths))
    rest = [path for path in dict.fromkeys(paths) if path not in missing]
    for path in show_progress(rest, "label images, to find the first class number", 1000):
        with naming_image(f"label image '{path}'"):
            values = decode_labels(Path(path).read_bytes())
        numbers |= {number for number in {0, last} - {IGNORED} if (values == number).any()}
        if last in numbers:
            break
    return numbers
