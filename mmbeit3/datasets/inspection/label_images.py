"""Inspection of label images of semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmbeit3.datasets.annotations import read_lines
from mmbeit3.datasets.checks.files import check_complete, sample
from mmbeit3.datasets.inspection.files import MANY, read_files
from mmbeit3.datasets.inspection.report import ClassCount, Example, FolderReport, SplitReport
from mmbeit3.datasets.labels import IGNORED, LabelCoding, decode_labels
from mmbeit3.datasets.layouts import LabelImages, only_suffix
from mmbeit3.datasets.progress import show_progress
from mmbeit3.datasets.transforms import label_size_conflict
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.images import ImageError
from mmbeit3.images.folders import walk_files
from mmbeit3.recipes.data import CLASSES_FILE, counts_from_one, read_class_list

__all__ = ["inspect_labels"]


@dataclass
class _Numbers:
    """Numbers in the label images of a split.

    Attributes:
        pixels: pixels of each number, int64 (256,).
        images: images with each number, int64 (256,).
        first: number to the first label image that has it.
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, np.int64))
    images: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, np.int64))
    first: dict[int, Path] = field(default_factory=dict)


def inspect_labels(
    layout: LabelImages, examples: int, classes: tuple[str, ...] = (), reduce_zero_label: bool = False
) -> FolderReport:
    """Inspect images and label images. All label images are decoded.

    Args:
        layout: the folders.
        examples: largest number of images for the contact sheet, of all splits.
        classes: names of the classes of a public data set; empty to read them from the folder.
        reduce_zero_label: True if ``classes`` count from 1.
    """
    report = FolderReport(layout.root, "labels")
    counts: dict[str, _Numbers] = {}
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
    numbers = {number for found in counts.values() for number in found.first} - {IGNORED}
    if classes:
        report.classes, report.reduce_zero_label = classes, reduce_zero_label
    else:
        _name_classes(report, numbers)
    coding = LabelCoding(len(report.classes), report.reduce_zero_label)
    wrong = [number for number in sorted(numbers) if not _known(coding, number)]
    if wrong:
        first, last = int(report.reduce_zero_label), len(report.classes) - 1 + report.reduce_zero_label
        path = next(found.first[wrong[0]] for found in counts.values() if wrong[0] in found.first)
        remedy = "download or convert them again" if classes else f"correct the files, or {CLASSES_FILE}"
        report.faults.append(
            f"label images have the numbers {list_first(wrong)}, but the {len(report.classes)} classes are {first} to {last}; "
            f"the first is '{path}' with {wrong[0]}: {remedy}"
        )
    for split in report.splits:
        pixels, images_with = counts[split.name].pixels, counts[split.name].images
        offset = int(report.reduce_zero_label)
        for label, class_name in enumerate(report.classes):
            split.classes[class_name] = ClassCount(int(images_with[label + offset]), int(pixels[label + offset]))
        split.ignored = int(pixels[IGNORED]) + (int(pixels[0]) if offset else 0)
        if split.ignored == pixels.sum() > 0:
            folder, unlabelled = layout.root / layout.folders[split.name][1], "0 and 255" if offset else "255"
            report.faults.append(
                f"{split.name}: the label images in '{folder}' have no labelled pixel, only {unlabelled}: write the classes' "
                "numbers into them"
            )
    return report


def _known(coding: LabelCoding, number: int) -> bool:
    try:
        coding.encode(np.array([[number]]))
    except ImageError:
        return False
    return True


def _pairs(layout: LabelImages, split: str, images: Path, labels: Path, report: FolderReport) -> list[tuple[str, Path, Path]]:
    """Return the name, image and label image of each pair of a split. Missing partners become faults."""
    image_suffix, label_suffix = only_suffix(images), layout.label_suffix or only_suffix(labels)
    if split in layout.lists:
        stems = read_lines(layout.root / layout.lists[split], "list of images")
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
                f"{split}: {len(alone)} images in '{images}' have no label image, such as '{alone[0]}{image_suffix}': "
                f"add the label images to '{labels}', or remove the images"
            )
            stems = [stem for stem in stems if stem in found]
    return [(stem, images / f"{stem}{image_suffix}", labels / f"{stem}{label_suffix}") for stem in stems]


def _count(
    split: SplitReport, pairs: list[tuple[str, Path, Path]], sizes: dict[str, tuple[int, int]], faults: list[str]
) -> _Numbers:
    """Count pixels and images of each number."""
    numbers = _Numbers()
    for stem, _, label in show_progress(pairs, f"label images of {split.name}", MANY):
        try:
            check_complete(str(label))
            values = decode_labels(label.read_bytes())
        except (ImageError, OSError) as error:
            reason = one_line(error.strerror or error) if isinstance(error, OSError) else one_line(error)
            # Some reasons contain the remedy.
            faults.append(f"{split.name}: label image '{label}' {reason}{'' if ': ' in reason else ': write it again'}")
            continue
        if stem in sizes and values.shape != sizes[stem][::-1]:
            faults.append(f"{split.name}: label image '{label}' {label_size_conflict(values.shape, sizes[stem][::-1])}")
        if values.min() < 0 or values.max() > IGNORED:
            wrong = int(values.max() if values.max() > IGNORED else values.min())
            faults.append(
                f"{split.name}: label image '{label}' has the number {wrong}, but class numbers are 0 to {IGNORED - 1}: write "
                "PNGs of 8 bits"
            )
            continue
        count = np.bincount(values.ravel(), minlength=IGNORED + 1)
        numbers.pixels += count
        numbers.images += count > 0
        for number in np.flatnonzero(count).tolist():
            numbers.first.setdefault(number, label)
        split.empty += int(count[IGNORED] == values.size)
    return numbers


def _name_classes(report: FolderReport, numbers: set[int]) -> None:
    """Set the class names, and if they count from 1. Without a list of names, classes get their numbers as names."""
    try:
        report.classes = read_class_list(report.root)
    except UserError as error:
        # A missing list may be given in the recipe, but a damaged one is a fault.
        (report.faults if (report.root / CLASSES_FILE).is_file() else report.notes).append(str(error))
        report.classes = tuple(f"class {number}" for number in range(max(numbers, default=0) + 1))
        return
    if not numbers:
        return
    try:
        report.reduce_zero_label = counts_from_one(numbers, len(report.classes), str(report.root))
    except UserError as error:
        report.notes.append(str(error))
