"""Contact sheet: images of a folder with their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmbeit3.datasets.inspection.report import Example, FolderReport
from mmbeit3.datasets.labels import LabelCoding, decode_labels
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, read_image, write_image
from mmbeit3.visualization.colours import class_colours
from mmbeit3.visualization.drawing import draw_objects, draw_regions, with_titles
from mmbeit3.visualization.text import render_text, shorten

__all__ = ["draw_sheet"]

_COLUMNS, _SIDE = 6, 400
"""Number of columns, and the longer side in pixels of an image on the sheet."""

_WHITE = np.full(3, 255, np.uint8)


@dataclass
class _Mask:
    pixels: np.ndarray
    left: int = 0
    top: int = 0


def draw_sheet(report: FolderReport, path: str | Path) -> int:
    """Draw the examples of a report with their ground truth, and write the sheet.

    Args:
        report: the inspection. Examples that cannot be read are left out.
        path: file to write, ``.png`` or ``.jpg``.

    Returns:
        Number of images on the sheet; no file is written for 0.

    Raises:
        UserError: if the file cannot be written.
    """
    colours = class_colours(max(len(report.classes), 1))
    pictures = []
    for split in report.splits:
        for example in split.examples:
            try:
                picture = _draw(example, report, colours)
            except (UserError, ImageError, OSError):
                # The report names the broken file.
                continue
            pictures.append(_with_caption(picture, f"{split.name}: {example.title or example.path.name}"))
    if pictures:
        columns: Sequence[Sequence[np.ndarray]] = [pictures[start::_COLUMNS] for start in range(min(_COLUMNS, len(pictures)))]
        write_image(path, with_titles(columns)[..., ::-1])
    return len(pictures)


def _draw(example: Example, report: FolderReport, colours: np.ndarray) -> np.ndarray:
    """Draw an image with its ground truth at the size of the sheet, uint8 (H, W, 3), RGB."""
    image = read_image(example.path)[..., ::-1]
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if example.label_image is not None:
        values = decode_labels(example.label_image.read_bytes())
        labels = LabelCoding(len(report.classes), report.reduce_zero_label).encode(values).astype(int)
        labels = cv2.resize(labels.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return draw_regions(small, labels.astype(int), report.classes, colours)
    if not len(example.boxes):
        return small
    masks = [_Mask(_resize(_decode(one, height, width), size)) for one in example.segmentations] or None
    return draw_objects(small, example.boxes * scale, example.labels, None, masks, report.classes, colours)


def _decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode a COCO segmentation, bool (H, W)."""
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        run_lengths = coco_mask.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation
    else:
        run_lengths = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return np.asarray(coco_mask.decode(run_lengths), bool)


def _resize(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def _with_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """Add a line of text below a picture."""
    caption = render_text(shorten(text, 14, picture.shape[1]), 14, _WHITE)[:, : picture.shape[1]]
    strip = np.full((caption.shape[0], picture.shape[1], 3), 255, np.uint8)
    strip[:, : caption.shape[1]] = caption
    return np.concatenate([picture, strip])
