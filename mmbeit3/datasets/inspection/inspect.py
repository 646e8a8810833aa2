"""Inspection of a folder, of whatever layout."""

from __future__ import annotations

import shlex
from pathlib import Path

from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.inspection.coco import inspect_coco
from mmbeit3.datasets.inspection.files import find_duplicates, read_files
from mmbeit3.datasets.inspection.label_images import inspect_labels
from mmbeit3.datasets.inspection.public import inspect_public
from mmbeit3.datasets.inspection.report import ClassCount, Example, FolderReport, SplitReport
from mmbeit3.datasets.layouts import SPLITS, ClassFolders, CocoFiles, LabelImages, find_layout
from mmbeit3.datasets.public import find_public
from mmbeit3.images import find_images
from mmbeit3.images.folders import is_image_name, walk_files

__all__ = ["inspect_folder"]


def inspect_folder(folder: str | Path, examples: int = 24, name: str | None = None) -> FolderReport:
    """Inspect a folder of data.

    Args:
        folder: the folder, see 'Lay out the data' in ``docs/own-data.md``.
        examples: largest number of images for the contact sheet.
        name: data set in :data:`mmbeit3.datasets.public.PUBLIC` that the folder must be a copy of; None to find it out.

    Raises:
        UserError: if the folder does not exist, or has neither images nor annotations, or the name is unknown.
    """
    if (found := find_public(folder, name)) is not None:
        report = inspect_public(*found, examples)
        _share_examples(report, examples)
        return report
    layout = find_layout(folder)
    if isinstance(layout, CocoFiles):
        report = inspect_coco(layout, examples)
    elif isinstance(layout, LabelImages):
        report = inspect_labels(layout, examples)
    elif isinstance(layout, ClassFolders):
        report = _inspect_classes(layout, examples)
    else:
        report = FolderReport(layout.root, "images")
        paths = find_images(layout.root)
        split = SplitReport("images")
        read_files(split, [(path.relative_to(layout.root).as_posix(), path) for path in paths], report.faults)
        split.examples = [Example(path) for path in sample(paths, examples)]
        report.splits.append(split)
    _share_examples(report, examples)
    find_duplicates(report)
    _note_missing_classes(report)
    report.advice = _advice(report)
    return report


def _inspect_classes(layout: ClassFolders, examples: int) -> FolderReport:
    report = FolderReport(layout.root, "classes")
    names: dict[str, None] = {}
    for name, folder in layout.folders.items():
        root = layout.root / folder
        split = SplitReport(name)
        files = sorted(file for file in walk_files(root) if is_image_name(file.rpartition("/")[2]))
        read_files(split, [(file, root / file) for file in files], report.faults)
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                count = sum(file.startswith(f"{path.name}/") for file in files)
                split.classes[path.name] = ClassCount(count, count)
                names.setdefault(path.name)
        split.examples = [Example(root / file, title=file.partition("/")[0]) for file in sample(files, examples)]
        report.splits.append(split)
    report.classes = tuple(sorted(names))
    for split in report.splits:
        if missing := sorted(set(names) - set(split.classes)):
            report.faults.append(f"{split.name} has no folder '{missing[0]}': give all splits the same folders")
    return report


def _share_examples(report: FolderReport, most: int) -> None:
    """Reduce the examples of all splits together to the number of images on the sheet. Later splits get a third if they can."""
    for split in report.splits[1:]:
        split.examples = sample(split.examples, max(2, most // 3))
    rest = most - sum(len(split.examples) for split in report.splits[1:])
    for split in report.splits[:1]:
        split.examples = sample(split.examples, max(2, rest))


def _note_missing_classes(report: FolderReport) -> None:
    """Note the classes that a split does not have."""
    for split in report.splits:
        missing = [name for name, count in split.classes.items() if not count.objects]
        if missing:
            shown = ", ".join(f"'{name}'" for name in missing[:5]) + (" and more" if len(missing) > 5 else "")
            report.notes.append(f"{split.name} has nothing of {shown}")


def _advice(report: FolderReport) -> str:
    """Return the command to try next."""
    root = shlex.quote(str(report.root))
    if report.kind == "images":
        return "annotate the images: docs/own-data.md shows the files, 'Lay out the data'"
    if report.kind == "classes":
        return "classification: docs/own-data.md shows the config, 'Classification'"
    if {split.name for split in report.splits} != set(SPLITS) and not report.faults:
        return f"python tools/prepare_data.py --split {root}"
    if report.kind == "labels":
        return f"python tools/train.py configs/mine/semantic.py --cfg-options recipe.data={root}"
    masks = all(split.with_masks == split.objects for split in report.splits) and any(split.objects for split in report.splits)
    return f"python tools/train.py configs/mine/{'instance' if masks else 'detection'}.py --cfg-options recipe.data={root}"
