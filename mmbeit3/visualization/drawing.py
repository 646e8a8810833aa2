"""Draw objects, regions and segments on images, and pictures side by side.

Everything of a class has one colour: boxes, masks, labels and the legend, in ground truth and in predictions.
This module needs numpy, OpenCV, PIL and matplotlib's list of fonts, nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from mmbeit3.visualization.canvas import line_width, new_canvas, paste, text_height
from mmbeit3.visualization.colours import Colours, class_colours, colours_for
from mmbeit3.visualization.grid import with_titles
from mmbeit3.visualization.placing import place_beside
from mmbeit3.visualization.regions import SegmentInfo, draw_regions, draw_segments
from mmbeit3.visualization.text import LegendEntry, append_legend, class_name, render_text, shorten, text_size

__all__ = ["MaskLike", "SegmentInfo", "class_colours", "draw_objects", "draw_regions", "draw_segments", "with_titles"]

_MIN_FONT = 9
"""Smallest size of labels in pixels that can be read."""
_MAX_LABELLED = 0.12
"""Largest share of the picture that labels may take: with more, the picture has no labels but a legend."""
_LABEL_SIZES = ((1.0, 0.6), (0.8, 0.6), (0.65, 0.6), (0.65, 0.2), (0.5, 0.14))
"""Sizes of labels to try: size of the font, relative to other text, and largest width, relative to the picture.

Longer names are cut; the legend contains the full name.
"""


class MaskLike(Protocol):
    """Mask of an object within an image.

    Attributes:
        pixels: bool (h, w), a part of the image.
        left: column of the part's first pixel in the image.
        top: row of the part's first pixel in the image.
    """

    @property
    def pixels(self) -> np.ndarray: ...  # noqa: D102

    @property
    def left(self) -> int: ...  # noqa: D102

    @property
    def top(self) -> int: ...  # noqa: D102


def draw_objects(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None = None,
    masks: Sequence[MaskLike] | None = None,
    classes: Sequence[str] = (),
    colours: Colours | None = None,
    *,
    legend: bool | None = None,
    legend_lines: int | None = None,
    min_side: int = 400,
    opacity: float = 0.5,
) -> np.ndarray:
    """Draw objects: boxes, masks, and labels such as "cat 0.87".

    Line width and size of the text grow with the picture. Labels become smaller where there are many. They are left out where
    they would cover other labels or objects; if any is left out, a legend below the picture names and counts the classes.

    Args:
        image: uint8 (H, W, 3), RGB.
        boxes: (N, 4), x0, y0, x1, y1 in pixels. Boxes that are outside of the image or not finite are skipped.
        labels: int (N,), indices of the classes.
        scores: (N,), 0 to 1; None for ground truth.
        masks: one per object; None for boxes alone.
        classes: names of the classes. A class without a name is shown by its number.
        colours: colours of the classes; None for :func:`class_colours`.
        legend: True for a legend, False for none, None for a legend if labels are left out or cut. It makes the picture higher.
        legend_lines: for the pictures of one video: a legend as high as one with all classes, at most this number of lines;
            what does not fit is left out. None for the height that the picture needs.
        min_side: if the longer side of the image has fewer pixels, the picture is enlarged by a whole factor.
        opacity: opacity of the masks, 0 to 1. Their outlines are opaque.

    Returns:
        uint8 (factor * H + legend, factor * W, 3), RGB. Outside of masks, boxes and labels it is the (enlarged) image.

    Raises:
        ValueError: if the arguments have other types or shapes, or their lengths differ.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    labels = np.asarray(labels).astype(int).reshape(-1)
    for name, values in (("labels", labels), ("scores", scores), ("masks", masks)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f"{len(values)} {name} for {len(boxes)} boxes: give one per box")
    picture, factor = new_canvas(image, min_side)
    table = colours_for(colours, int(labels.max(initial=-1)) + 1)
    corners, shown = _pixel_boxes(boxes * factor, picture.shape[:2])
    line = line_width(picture)
    # Large objects first, so that they do not cover small ones.
    order = sorted(np.flatnonzero(shown), key=lambda index: -_area(corners[index]))
    if masks is not None:
        for index in order:
            _draw_mask(picture, masks[index], factor, table[labels[index]], opacity, line)
    texts = ["" if scores is None else f" {scores[index]:.2f}" for index in range(len(boxes))]
    names = [class_name(classes, label) for label in labels]
    size, cut = _fit_labels(picture, names, texts, order)
    crowded = bool(order) and size == 0
    if masks is None or not crowded:
        for index in order:
            _draw_box(picture, corners[index], table[labels[index]], line)
    incomplete = crowded
    if size:
        sizes = np.array([text_size(text, size) for text in cut]).reshape(-1, 2)
        first = order if scores is None else sorted(order, key=lambda index: -scores[index])
        positions = place_beside(corners, sizes, picture.shape[:2], first)
        for index in order:
            if (position := positions[index]) is None:
                incomplete = True
            else:
                paste(picture, render_text(cut[index], size, table[labels[index]]), *position)
                incomplete |= cut[index] != names[index] + texts[index]
    if legend or legend_lines is not None or (legend is None and incomplete):
        counts = Counter(int(labels[index]) for index in order).most_common()
        entries = [LegendEntry(class_name(classes, label), f"({count})", table[label]) for label, count in counts]
        fixed = None if legend_lines is None else (classes, legend_lines)
        picture = append_legend(picture, entries, text_height(picture), fixed)
    return picture


def _pixel_boxes(boxes: np.ndarray, picture: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes clipped to the picture as ints, at least one pixel large, and True for those inside of the picture."""
    height, width = picture[:2]
    limit = np.array([width, height])
    finite = np.isfinite(boxes).all(1)
    boxes = np.where(finite[:, None], boxes, 0)
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    shown = finite & (low < limit).all(1) & (high >= 0).all(1)
    low = np.clip(np.floor(low), 0, limit - 1).astype(np.int64)
    high = np.clip(np.ceil(high), low + 1, limit).astype(np.int64)
    return np.concatenate([low, high], axis=1), shown


def _area(box: np.ndarray) -> int:
    return int((box[2] - box[0]) * (box[3] - box[1]))


def _draw_box(picture: np.ndarray, box: np.ndarray, colour: np.ndarray, line: int) -> None:
    """Draw the outline of a box, inside of it."""
    left, top, right, bottom = box
    line = min(line, max(1, min(right - left, bottom - top) // 4))
    picture[top : top + line, left:right] = colour
    picture[bottom - line : bottom, left:right] = colour
    picture[top:bottom, left : left + line] = colour
    picture[top:bottom, right - line : right] = colour


def _draw_mask(picture: np.ndarray, mask: MaskLike, factor: int, colour: np.ndarray, opacity: float, line: int) -> None:
    """Blend a mask with the picture, and draw its outline inside of it. Only the part that the mask covers is touched."""
    pixels = np.asarray(mask.pixels, np.uint8)
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    top, left = max(mask.top, 0), max(mask.left, 0)
    pixels = pixels[top - mask.top : max(height - mask.top, 0), left - mask.left : max(width - mask.left, 0)]
    if not pixels.any():
        return
    pixels = np.ascontiguousarray(pixels.repeat(factor, 0).repeat(factor, 1)) if factor > 1 else np.ascontiguousarray(pixels)
    h, w = pixels.shape
    part = picture[factor * top : factor * top + h, factor * left : factor * left + w]
    line = min(line, max(1, min(h, w) // 8))
    kernel = np.ones((2 * line + 1, 2 * line + 1), np.uint8)
    inner = cv2.erode(pixels, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    values = np.arange(256)[:, None]
    blend = np.round((1 - opacity) * values + opacity * colour[None]).astype(np.uint8)
    np.copyto(part, cv2.LUT(part, blend[None]), where=inner.astype(bool)[..., None])
    part[(pixels > inner)] = colour


def _fit_labels(picture: np.ndarray, names: Sequence[str], ends: Sequence[str], shown: Sequence[int]) -> tuple[int, list[str]]:
    """Return the largest size of the font at which the labels do not fill the picture, and the labels; 0 if there is none."""
    for scale, share in _LABEL_SIZES:
        size = max(round(scale * text_height(picture)), _MIN_FONT)
        width = int(share * picture.shape[1])
        labels = [shorten(name, size, width, end) for name, end in zip(names, ends, strict=True)]
        taken = sum(int(np.prod(text_size(labels[index], size))) for index in shown)
        if taken <= _MAX_LABELLED * picture.shape[0] * picture.shape[1] or len(shown) == 1:
            return size, labels
    return 0, []
