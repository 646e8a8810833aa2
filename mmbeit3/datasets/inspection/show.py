"""Text of an inspection, at most 100 columns wide."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmbeit3.datasets.inspection.report import FolderReport, SplitReport

__all__ = ["WIDTH", "show_report"]

WIDTH = 100
"""Largest width of the text in columns."""

_KINDS = {
    "coco": "COCO files",
    "labels": "images and label images (semantic segmentation)",
    "classes": "one folder of images per class (classification)",
    "images": "images without annotations",
}
_SMALL, _LARGE = 32**2, 96**2
"""Limits in pixels between small, medium and large objects in COCO's evaluation."""

_MOST_ROWS = 40


def show_report(report: FolderReport) -> str:
    """Return the text of a report, without faults and notes."""
    console = Console(width=WIDTH, file=io.StringIO(), record=False, highlight=False, color_system=None)
    console.print(f"[b]{escape(str(report.root))}[/b]: {_KINDS[report.kind]}{_numbering(report)}", soft_wrap=True)
    console.print(_splits(report))
    if report.classes:
        console.print(_classes(report))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def _numbering(report: FolderReport) -> str:
    if report.kind != "labels":
        return ""
    return ", classes count from 1" if report.reduce_zero_label else ", classes count from 0, 255 is ignored"


def _splits(report: FolderReport) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("split", overflow="fold")
    for split in report.splits:
        table.add_column(split.name, justify="right", overflow="fold")
    rows = [("images", [f"{split.images:,}" for split in report.splits])]
    rows.append(("image sizes", [_image_sizes(split) for split in report.splits]))
    if report.kind == "coco":
        rows += [
            ("objects", [f"{split.objects:,}" for split in report.splits]),
            ("objects per image", [f"{split.objects / max(split.images, 1):.1f}" for split in report.splits]),
            ("masks", [_masks(split) for split in report.splits]),
            ("small / medium / large", [_shares(split) for split in report.splits]),
            ("median side of objects", [_median(split) for split in report.splits]),
            ("images without objects", [f"{split.empty:,}" for split in report.splits]),
        ]
    if report.kind == "labels":
        rows.append(("ignored pixels", [_percent(split.ignored, _pixels(split)) for split in report.splits]))
        rows.append(("images without labels", [f"{split.empty:,}" for split in report.splits]))
    for name, values in rows:
        table.add_row(name, *values)
    return table


def _classes(report: FolderReport) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("class", overflow="fold")
    counted = {"coco": "objects", "labels": "pixels"}.get(report.kind)
    for split in report.splits:
        table.add_column(f"images in {split.name}", justify="right")
        if counted:
            table.add_column(f"{counted} in {split.name}", justify="right")
    for name in report.classes[:_MOST_ROWS]:
        row = [escape(name)]
        for split in report.splits:
            count = split.classes.get(name)
            row.append(f"{count.images:,}" if count else "-")
            if counted == "objects":
                row.append(f"{count.objects:,}" if count else "-")
            elif counted == "pixels":
                row.append(_percent(count.objects, _pixels(split)) if count else "-")
        table.add_row(*row)
    if len(report.classes) > _MOST_ROWS:
        table.add_row(f"and {len(report.classes) - _MOST_ROWS} more")
    return table


def _pixels(split: SplitReport) -> int:
    return sum(count.objects for count in split.classes.values()) + split.ignored


def _image_sizes(split: SplitReport) -> str:
    if not len(split.sizes):
        return "-"
    sizes = Counter(map(tuple, split.sizes.tolist()))
    if len(sizes) == 1:
        return "{} x {}".format(*next(iter(sizes)))
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    return "{} x {} to {} x {}".format(*ordered[0], *ordered[-1])


def _masks(split: SplitReport) -> str:
    if not split.with_masks:
        return "boxes only"
    return "all" if split.with_masks == split.objects else f"{split.with_masks:,} of {split.objects:,}"


def _shares(split: SplitReport) -> str:
    if not split.objects:
        return "-"
    areas = split.object_areas
    counts = int((areas < _SMALL).sum()), int(((areas >= _SMALL) & (areas < _LARGE)).sum()), int((areas >= _LARGE).sum())
    return " / ".join(_percent(count, split.objects) for count in counts)


def _median(split: SplitReport) -> str:
    return f"{np.median(split.object_sides):.0f} pixels" if len(split.object_sides) else "-"


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 10 or not part else f"{share:.1f}%" if share >= 0.1 else "<0.1%"
