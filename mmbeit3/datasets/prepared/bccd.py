"""BCCD: Pascal VOC's layout to COCO files.

Source: https://github.com/Shenggan/BCCD_Dataset, ``BCCD/Annotations/NAME.xml``, ``BCCD/JPEGImages/NAME.jpg`` and
``BCCD/ImageSets/Main/{train,val}.txt``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from mmbeit3.datasets.prepared.coco import write_coco
from mmbeit3.datasets.prepared.sources import Source
from mmbeit3.datasets.prepared.target import Target, progress
from mmbeit3.errors import UserError, one_line
from mmbeit3.images import ImageError, image_size

__all__ = ["WANTED", "convert", "find_root"]

WANTED = re.compile(r"(^|/)(ImageSets/Main/(train|val)\.txt|Annotations/[^/]+\.xml|JPEGImages/[^/]+\.jpg)$")
"""Files that the conversion reads."""

LAYOUT = "ImageSets/Main/train.txt, Annotations/*.xml and JPEGImages/*.jpg"
"""Files that tell the layout, for error messages."""

_MARK = "ImageSets/Main/train.txt"


def find_root(names: Sequence[str]) -> str | None:
    """Return the folder of the data set in a copy, with a ``/`` at the end or empty; None if the copy has another layout."""
    return min((name.removesuffix(_MARK) for name in names if f"/{name}".endswith(f"/{_MARK}")), key=len, default=None)


def convert(source: Source, root: str, target: Target, classes: Sequence[str]) -> list[str]:
    """Copy the images, and write ``train.json`` and ``val.json``.

    Boxes are clipped to their images. Boxes without an area are dropped. VOC's corners are taken as they are, so that a box is
    ``xmax - xmin`` pixels wide. Names and sizes in the XML files are not used: some are wrong.

    Returns:
        One line for each kind of correction.

    Raises:
        UserError: if a listed file is missing or damaged, or an object has an unknown class.
    """
    counts: Counter[str] = Counter()
    for split in ("train", "val"):
        lines = source.read(f"{root}ImageSets/Main/{split}.txt").decode("utf-8", "replace").split()
        images = []
        for name in progress(lines, f"converting {split}"):
            path = target.copy(source, f"{root}JPEGImages/{name}.jpg", f"images/{name}.jpg")
            try:
                size = image_size(path)
            except ImageError as error:
                raise UserError(f"image '{path}' {error}: the copy is damaged, give another one") from error
            objects = _read_objects(source, f"{root}Annotations/{name}.xml", size, classes, counts)
            images.append((f"{name}.jpg", *size, objects))
        write_coco(target, split, classes, images)
    texts = {"clipped": "boxes reached beyond their images and were clipped", "dropped": "boxes had no area and were dropped"}
    return [f"{counts[key]} {text}" for key, text in texts.items() if counts[key]]


def _read_objects(
    source: Source, name: str, size: tuple[int, int], classes: Sequence[str], counts: Counter[str]
) -> list[Mapping[str, Any]]:
    content = source.read(name)
    where = f"'{name}' in '{source.label}'"
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        # Entities can expand to any size.
        raise UserError(f"{where} declares a document type, which annotations do not need: give another copy")
    try:
        tree = ElementTree.fromstring(content)
        found = [(str(one.findtext("name")).strip(), _read_corners(one)) for one in tree.iter("object")]
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{where} is not a valid VOC annotation ({one_line(error)}): give another copy") from error
    objects: list[Mapping[str, Any]] = []
    for label, corners in found:
        if label not in classes:
            raise UserError(f"{where} has an object of the class '{label}', not one of {', '.join(classes)}: give another copy")
        x0, x1 = sorted((corners[0], corners[2]))
        y0, y1 = sorted((corners[1], corners[3]))
        inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1]))
        width, height = inside[2] - inside[0], inside[3] - inside[1]
        if not (width > 0 and height > 0):
            counts["dropped"] += 1
            continue
        counts["clipped"] += inside != (x0, y0, x1, y1)
        box = [inside[0], inside[1], width, height]
        objects.append({"category_id": classes.index(label) + 1, "bbox": box, "area": width * height})
    return objects


def _read_corners(element: ElementTree.Element) -> tuple[float, ...]:
    """Return left, top, right and bottom in pixels; raise ValueError if one is missing or no number."""
    corners = tuple(float(str(element.findtext(f"bndbox/{key}"))) for key in ("xmin", "ymin", "xmax", "ymax"))
    if not all(map(math.isfinite, corners)):
        raise ValueError(f"a box has the corners {corners}")
    return corners
