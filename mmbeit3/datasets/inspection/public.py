"""Inspection of a copy of a public data set: missing parts, then the contents as of any folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmbeit3.datasets.annotations import find_missing
from mmbeit3.datasets.coco_file import read_coco
from mmbeit3.datasets.inspection.coco import inspect_coco
from mmbeit3.datasets.inspection.label_images import inspect_labels
from mmbeit3.datasets.inspection.report import FolderReport
from mmbeit3.datasets.layouts import CocoFiles, LabelImages
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.datasets.public import PublicData, missing_parts
from mmbeit3.errors import UserError

__all__ = ["inspect_public"]


def inspect_public(root: Path, data: PublicData, examples: int) -> FolderReport:
    """Inspect a copy of a public data set.

    A missing file or folder that a config reads is a fault. Another number of images or classes than in the whole data set is
    only noted.

    Args:
        root: the data set's folder.
        data: the data set.
        examples: largest number of images for the contact sheet, of all splits.
    """
    faults, notes = missing_parts(root, data)
    complete = {part.path for part in data.parts if part.exists(root)}
    splits = {split: paths for split, paths in data.splits.items() if complete.issuperset(paths)}
    if data.labels:
        layout = LabelImages(root, splits, {}, data.label_suffix)
        report = inspect_labels(layout, examples, _label_classes(data), data.reduce_zero_label)
    else:
        report = inspect_coco(CocoFiles(root, splits), examples, data)
    if not splits:
        # Nothing could be counted.
        report.classes = ()
    report.faults[:0] = faults
    report.notes[:0] = [f"checked as a copy of {data.title}, as {data.config} reads it", *notes]
    for extra in data.extras:
        for part in extra.parts:
            if part.path.endswith(".json") and part.exists(root):
                _check_panoptic(root / part.path, report.faults)
    _note_numbers(report, data)
    report.advice = f"python tools/train.py {data.config}"
    if root.resolve() != Path(data.folder).resolve():
        report.advice = f"link or move the folder to {data.folder}, where the configs read it, then {report.advice}"
    return report


def _label_classes(data: PublicData) -> tuple[str, ...]:
    """Return the class names of mmseg's dataset; without mmseg, the classes' numbers."""
    if importlib.util.find_spec("mmseg") is None:
        first = int(data.reduce_zero_label)
        return tuple(f"class {number}" for number in range(first, data.classes + first))
    return tuple(read_metainfo({"type": data.labels}, "mmseg")["classes"])


def _check_panoptic(path: Path, faults: list[str]) -> None:
    """Check a panoptic file, and that its PNGs are in the folder of the same name."""
    try:
        coco = read_coco(path)
    except UserError as error:
        faults.append(str(error))
        return
    folder = path.with_suffix("")
    if folder.is_dir() and (missing := find_missing(f"{folder}/{name}" for name in coco.segment_files.values())):
        faults.append(
            f"'{path}' names {len(missing)} label images that do not exist, such as '{missing[0]}': unpack {folder.name}.zip "
            "again"
        )


def _note_numbers(report: FolderReport, data: PublicData) -> None:
    """Note the splits that have another number of images, and another number of classes, than the whole data set."""
    for split in report.splits:
        whole = data.images[split.name]
        if split.images < whole:
            report.notes.append(f"{split.name} is a subset of {data.title}: {split.images:,} of {whole:,} images")
        elif split.images > whole:
            report.notes.append(f"{split.name} has {split.images:,} images, {data.title} has {whole:,}")
    if report.classes and len(report.classes) != data.classes:
        report.notes.append(f"the copy has {len(report.classes)} classes, {data.title} has {data.classes}")
