"""Image files of an inspection: complete, of which size, and with which content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmbeit3.datasets.checks.files import check_complete
from mmbeit3.datasets.inspection.report import FolderReport, SplitReport
from mmbeit3.datasets.progress import show_progress
from mmbeit3.errors import list_first, one_line
from mmbeit3.images import ImageError

__all__ = ["MANY", "find_duplicates", "read_files"]

MANY = 1000
"""Number of files from which on a progress bar is shown. Reading so many takes a second or more."""


def read_files(split: SplitReport, files: Iterable[tuple[str, Path]], faults: list[str]) -> dict[str, tuple[int, int]]:
    """Read the images of a split: number, sizes and hashes. Broken and missing files become faults.

    Args:
        split: the report to fill.
        files: names and paths.
        faults: list that faults are appended to.

    Returns:
        Name to width and height in pixels, for the images that could be read.
    """
    sizes: dict[str, tuple[int, int]] = {}
    missing: list[Path] = []
    for name, path in show_progress(list(files), f"images of {split.name}", MANY):
        split.images += 1
        try:
            sizes[name] = check_complete(str(path))
            split.hashes.setdefault(hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(), name)
        except FileNotFoundError:
            missing.append(path)
        except (ImageError, OSError) as error:
            reason = one_line(error.strerror or error) if isinstance(error, OSError) else one_line(error)
            faults.append(f"{split.name}: image '{path}' {reason}: replace or remove it")
    if len(missing) == split.images > 1:
        # The folder or the names are wrong, so one line is enough.
        faults.append(
            f"{split.name}: none of the {split.images} images exists, such as '{missing[0]}': put them there, or correct the "
            "names in the annotations"
        )
    else:
        faults += [
            f"{split.name}: image '{path}' does not exist: add it, or remove it from the annotations" for path in missing
        ]
    split.sizes = np.array(list(sizes.values()), int).reshape(-1, 2)
    return sizes


def find_duplicates(report: FolderReport) -> None:
    """Add a fault if training and validation share images: the same content, under the same or another name."""
    by_name = {split.name: split for split in report.splits}
    if not {"train", "val"} <= by_name.keys():
        return
    train, val = by_name["train"].hashes, by_name["val"].hashes
    shared = [f"'{name}'" if name == train[key] else f"'{name}' = '{train[key]}'" for key, name in val.items() if key in train]
    if shared:
        report.faults.append(
            f"{len(shared)} images are in train and in val, such as {list_first(shared, 2)}: scores on them say nothing; "
            "remove them from one"
        )
