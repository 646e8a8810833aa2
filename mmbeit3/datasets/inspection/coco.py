"""Inspection of COCO annotation files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.coco_file import CocoFile, read_coco
from mmbeit3.datasets.coco_masks import mask_fault, polygon_limit
from mmbeit3.datasets.coco_records import read_coco_json
from mmbeit3.datasets.inspection.files import read_files
from mmbeit3.datasets.inspection.report import ClassCount, Example, FolderReport, SplitReport
from mmbeit3.datasets.layouts import CocoFiles, image_folder
from mmbeit3.datasets.messages import first_difference
from mmbeit3.datasets.public import PublicData
from mmbeit3.datasets.transforms import size_conflict
from mmbeit3.errors import UserError
from mmbeit3.images import image_size
from mmbeit3.images.folders import is_image_name, walk_files

__all__ = ["inspect_coco"]


_BOX_REMEDY = "correct or remove them; 'bbox' is x, y, width, height in pixels"


def inspect_coco(layout: CocoFiles, examples: int, data: PublicData | None = None) -> FolderReport:
    """Inspect COCO files and their images.

    Args:
        layout: the files.
        examples: largest number of images for the contact sheet, of all splits.
        data: the public data set, if its JSON files name images in another way or name some that do not exist.
    """
    report = FolderReport(layout.root, "coco")
    files = dict(layout.files) or {file: (file, image_folder(layout.root, "", file)) for file in layout.unsplit}
    categories: dict[str, list[str]] = {}
    named: set[Path] = set()
    for name, (file, folder) in files.items():
        path = layout.root / file
        try:
            coco = read_coco(path)
        except UserError as error:
            report.faults.append(str(error))
            continue
        categories[file] = list(coco.names.values())
        absent: Collection[str] = ()
        if data is not None:
            images = {number: (data.image_name(one), width, height) for number, (one, width, height) in coco.images.items()}
            coco, absent = replace(coco, images=images), data.absent
        named |= {layout.root / folder / image for image, _, _ in coco.images.values()}
        split = _inspect_split(name, coco, layout.root / folder, report.faults, absent)
        if coco.is_panoptic:
            report.notes.append(f"'{file}' has panoptic annotations, for which there is no recipe: see docs/configs.md")
        else:
            _add_objects(split, coco, layout.root / folder, examples)
        report.splits.append(split)
    report.classes = tuple(next(iter(categories.values()), ()))
    for file, names in categories.items():
        if (difference := first_difference(names, report.classes)) is not None:
            index, here, there = difference
            first = next(iter(categories))
            report.faults.append(
                f"'{file}' has other categories than '{first}': category {index + 1} is {here} in '{file}' and {there} in "
                f"'{first}'; give both the same, in the same order"
            )
    _note_unused(report, {layout.root / folder for _, folder in files.values()}, named)
    if layout.files and layout.unsplit:
        report.notes.append(f"not used: {', '.join(layout.unsplit)} (recipes read train.json and val.json)")
    return report


def _inspect_split(name: str, coco: CocoFile, folder: Path, faults: list[str], absent: Collection[str] = ()) -> SplitReport:
    """Read the images of a file, and collect the faults of its objects."""
    split = SplitReport(name)
    files = [file for file, _, _ in coco.images.values() if file not in absent]
    sizes = read_files(split, [(file, folder / file) for file in files], faults)
    for file, width, height in coco.images.values():
        if file in sizes and sizes[file] != (width, height):
            rotated = image_size(folder / file, orient=False) == (width, height)
            conflict = size_conflict(sizes[file], (width, height), rotated)
            faults.append(f"{name}: image '{folder / file}' {conflict}")
    if not len(coco.categories):
        faults.append(f"{name}: '{coco.path}' has no annotations: add the boxes of its {len(coco.images)} images")
    if coco.first_dropped is not None:
        faults.append(
            f"'{coco.path}': {int(coco.dropped.sum())} boxes cannot be used; the first: {coco.first_dropped}: {_BOX_REMEDY}"
        )
    if coco.first_beyond is not None:
        beyond = f"{int(coco.beyond.sum())} boxes reach beyond their images; the first: {coco.first_beyond}"
        faults.append(f"'{coco.path}': {beyond}: {_BOX_REMEDY}")
    if coco.first_mask_fault is not None:
        faults.append(f"'{coco.path}': {coco.first_mask_fault}")
    if coco.first_unscored is not None and name != "train":
        faults.append(f"'{coco.path}' cannot be scored: {coco.first_unscored}")
    repeated = Counter(file for file, _, _ in coco.images.values()).most_common(1)
    if repeated and repeated[0][1] > 1:
        faults.append(f"'{coco.path}' has image '{repeated[0][0]}' {repeated[0][1]} times, under different ids: keep one")
    return split


def _add_objects(split: SplitReport, coco: CocoFile, folder: Path, examples: int) -> None:
    """Count the objects of a file, and choose images for the contact sheet."""
    objects: list[dict[str, Any]] = read_coco_json(coco.path).get("annotations") or []
    boxes = np.array([one["bbox"] for one in objects], float).reshape(-1, 4)
    # Two roots, because the area of a damaged box may overflow. read_coco refuses negative sides and missing areas.
    split.object_sides = np.sqrt(boxes[:, 2]) * np.sqrt(boxes[:, 3])
    split.object_areas = np.array([one["area"] for one in objects], float)
    split.with_masks = sum(bool(one.get("segmentation")) for one in objects)
    for number, name in coco.names.items():
        chosen = coco.categories == number
        split.classes[name] = ClassCount(len(np.unique(coco.image_index[chosen])), int(chosen.sum()))
    split.empty = len(coco.images) - len(np.unique(coco.image_index))
    index = {number: label for label, number in enumerate(coco.names)}
    # Images with objects tell more than empty ones.
    filled = np.unique(coco.image_index).tolist() or list(range(len(coco.images)))
    names = list(coco.images.values())
    limit = polygon_limit(coco.images)
    for image in sample(filled, examples):
        chosen = np.flatnonzero(coco.image_index == image)
        corners = boxes[chosen]
        corners[:, 2:] += corners[:, :2]
        labels = np.array([index[objects[one]["category_id"]] for one in chosen], int)
        shapes = [objects[one].get("segmentation") for one in chosen]
        # For invalid masks pycocotools would fail, or need any amount of memory.
        drawn = all(shapes) and all(mask_fault(objects[one], coco.images, limit) is None for one in chosen)
        split.examples.append(Example(folder / names[image][0], corners, labels, shapes if drawn else []))


def _note_unused(report: FolderReport, folders: set[Path], named: set[Path]) -> None:
    """Note the images that no annotation file names."""
    found = [folder / name for folder in sorted(folders) for name in walk_files(folder)]
    if unused := [path for path in found if is_image_name(path.name) and path not in named] if not report.faults else []:
        report.notes.append(f"{len(unused)} images are in no annotation file, such as '{unused[0].name}': they are not used")
