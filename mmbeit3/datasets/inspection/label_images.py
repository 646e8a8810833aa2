"""Inspection of label images of semantic segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmbeit3.datasets.annotations import read_text
from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.inspection.files import read_files
from mmbeit3.datasets.inspection.report import ClassCount, Example, FolderReport, SplitReport
from mmbeit3.datasets.labels import IGNORED, LabelCoding, decode_labels
from mmbeit3.datasets.layouts import LabelImages, only_suffix
from mmbeit3.datasets.transforms import label_size_conflict
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.images import ImageError
from mmbeit3.images.folders import walk_files
from mmbeit3.recipes.data import CLASSES_FILE, counts_from_one, read_class_list

__all__ = ["inspect_labels"]


def inspect_labels(layout: LabelImages, examples: int) -> FolderReport:
    """Inspect images and label images. All label images are decoded.

    Args:
        layout: the folders.
        examples: largest number of images for the contact sheet, of all splits.
    """
    report = FolderReport(layout.root, "labels")
    counts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (images, labels) in layout.folders.items():
        try:
            pairs = _pairs(layout, name, layout.root / images, layout.root / labels, report)
        except UserError as error:
            report.faults.append(str(error))
            continue
        split = SplitReport(name)
        sizes = read_files(split, [(stem, image) for stem, image, _ in pairs], report.faults)
        counts[name] = _count(split, pairs, sizes, report.faults)
        usable = [pair for pair in pairs if pair[0] in sizes and pair[2].is_file()]
        split.examples = [Example(image, label_image=label) for _, image, label in sample(usable, examples)]
        report.splits.append(split)
    numbers = {int(number) for pixels, _ in counts.values() for number in np.flatnonzero(pixels)} - {IGNORED}
    _name_classes(report, numbers)
    coding = LabelCoding(len(report.classes), report.reduce_zero_label)
    wrong = [number for number in sorted(numbers) if not _known(coding, number)]
    if wrong:
        first, last = int(report.reduce_zero_label), len(report.classes) - 1 + report.reduce_zero_label
        report.faults.append(
            f"label images have the numbers {list_first(wrong)}, but the {len(report.classes)} classes are {first} to {last}: "
            f"correct the files, or {CLASSES_FILE}"
        )
    for split in report.splits:
        pixels, images_with = counts[split.name]
        offset = int(report.reduce_zero_label)
        for label, class_name in enumerate(report.classes):
            split.classes[class_name] = ClassCount(int(images_with[label + offset]), int(pixels[label + offset]))
        split.ignored = int(pixels[IGNORED]) + (int(pixels[0]) if offset else 0)
    return report


def _known(coding: LabelCoding, number: int) -> bool:
    try:
        coding.encode(np.array([[number]]))
    except ImageError:
        return False
    return True


def _pairs(layout: LabelImages, split: str, images: Path, labels: Path, report: FolderReport) -> list[tuple[str, Path, Path]]:
    """Return the name, image and label image of each pair of a split. Missing partners become faults."""
    image_suffix, label_suffix = only_suffix(images), only_suffix(labels)
    if split in layout.lists:
        path = layout.root / layout.lists[split]
        stems = [line.strip() for line in read_text(path, "list of images").splitlines() if line.strip()]
    else:
        stems = sorted(name.removesuffix(image_suffix) for name in walk_files(images) if name.endswith(image_suffix))
        found = {name.removesuffix(label_suffix) for name in walk_files(labels) if name.endswith(label_suffix)}
        if alone := sorted(found - set(stems)):
            report.faults.append(
                f"{split}: {len(alone)} label images in '{labels}' have no image, such as '{alone[0]}{label_suffix}': add the "
                "images of the same names, or remove them"
            )
        if alone := sorted(set(stems) - found):
            report.faults.append(
                f"{split}: {len(alone)} images in '{images}' have no label image, such as '{alone[0]}{image_suffix}': mmseg "
                "leaves them out"
            )
            stems = [stem for stem in stems if stem in found]
    return [(stem, images / f"{stem}{image_suffix}", labels / f"{stem}{label_suffix}") for stem in stems]


def _count(
    split: SplitReport, pairs: list[tuple[str, Path, Path]], sizes: dict[str, tuple[int, int]], faults: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Count pixels and images of each number, both int64 (256,)."""
    pixels, images = np.zeros(IGNORED + 1, np.int64), np.zeros(IGNORED + 1, np.int64)
    for stem, _, label in pairs:
        try:
            values = decode_labels(label.read_bytes())
        except (ImageError, OSError) as error:
            faults.append(f"{split.name}: label image '{label}' {one_line(error)}")
            continue
        if stem in sizes and values.shape != sizes[stem][::-1]:
            faults.append(f"{split.name}: label image '{label}' {label_size_conflict(values.shape, sizes[stem][::-1])}")
        if values.min() < 0 or values.max() > IGNORED:
            faults.append(f"{split.name}: label image '{label}' has numbers above {IGNORED}: write PNGs of 8 bits")
            continue
        count = np.bincount(values.ravel(), minlength=IGNORED + 1)
        pixels += count
        images += count > 0
        split.empty += int(count[IGNORED] == values.size)
    return pixels, images


def _name_classes(report: FolderReport, numbers: set[int]) -> None:
    """Set the class names, and if they count from 1. Without a list of names, classes get their numbers as names."""
    try:
        report.classes = read_class_list(report.root)
        report.reduce_zero_label = counts_from_one(numbers, len(report.classes), str(report.root))
    except UserError as error:
        report.notes.append(str(error))
        if not report.classes:
            report.classes = tuple(f"class {number}" for number in range(max(numbers, default=0) + 1))
