"""Draw label maps: semantic regions and panoptic segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from mmbeit3.visualization.canvas import line_width, new_canvas, paste, text_height
from mmbeit3.visualization.colours import Colours, colours_for
from mmbeit3.visualization.placing import place_inside
from mmbeit3.visualization.text import LegendEntry, append_legend, class_name, render_text, text_size

__all__ = ["SegmentInfo", "draw_regions", "draw_segments"]

_NO_CLASS = 255
"""Usual label of pixels without a class."""
_NO_CLASS_16_BITS = 65535
"""The same in maps of more than 255 classes."""
_ROWS = 64
"""Number of rows that are drawn at once, to need little memory."""


class SegmentInfo(Protocol):
    """A segment of a panoptic result.

    Attributes:
        id: value of its pixels.
        label: index of the class.
        is_thing: True for an object, False for a region that is not counted, such as sky.
        score: 0 to 1; None if there is none.
    """

    @property
    def id(self) -> int: ...  # noqa: D102

    @property
    def label(self) -> int: ...  # noqa: D102

    @property
    def is_thing(self) -> bool: ...  # noqa: D102

    @property
    def score(self) -> float | None: ...  # noqa: D102


def draw_regions(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str] = (),
    colours: Colours | None = None,
    *,
    ignore_index: int | None = None,
    opacity: float = 0.5,
    legend: bool = True,
    legend_lines: int | None = None,
    min_side: int = 400,
) -> np.ndarray:
    """Draw a semantic label map: translucent colours, opaque borders, and names in the regions that have room for them.

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: ints (H, W), indices of the classes. Pixels with ``ignore_index``, 65535 or a negative value are not drawn.
        classes: names of the classes. A class without a name is shown by its number.
        colours: colours of the classes; None for :func:`~mmbeit3.visualization.drawing.class_colours`.
        ignore_index: label of pixels without a class; None for 255 if there are fewer than 256 classes.
        opacity: opacity of the regions, 0 to 1.
        legend: True for a legend below the picture: the classes in it, with their share of all pixels.
        legend_lines: for the pictures of one video: a legend as high as one with all classes, at most this number of lines;
            what does not fit is left out. None for the height that the picture needs.
        min_side: if the longer side of the image has fewer pixels, the picture is enlarged by a whole factor.

    Returns:
        uint8 (factor * H + legend, factor * W, 3), RGB.

    Raises:
        ValueError: if the arguments have other types, or their sizes differ.
    """
    labels = _checked(labels, image)
    found, counts = _count(labels)
    if ignore_index is None and len(classes) < _NO_CLASS:
        ignore_index = _NO_CLASS
    present = [int(label) for label in found if 0 <= label < _NO_CLASS_16_BITS and label != ignore_index]
    picture, factor = new_canvas(image, min_side)
    indices = _indices(labels, present, factor)
    table = colours_for(colours, max(present, default=-1) + 1)
    names = [class_name(classes, label) for label in present]
    _paint(picture, indices, table[present], opacity)
    _write_names(picture, indices, names, table[present])
    if legend:
        share = dict(zip(found.tolist(), counts / labels.size, strict=True))
        order = sorted(range(len(present)), key=lambda index: -share[present[index]])
        entries = [LegendEntry(names[index], _percent(share[present[index]]), table[present[index]]) for index in order]
        fixed = None if legend_lines is None else (classes, legend_lines)
        picture = append_legend(picture, entries, text_height(picture), fixed)
    return picture


def draw_segments(
    image: np.ndarray,
    segments: np.ndarray,
    infos: Sequence[SegmentInfo],
    classes: Sequence[str] = (),
    colours: Colours | None = None,
    *,
    opacity: float = 0.5,
    legend: bool = True,
    legend_lines: int | None = None,
    min_side: int = 400,
) -> np.ndarray:
    """Draw a panoptic result: one colour per class, opaque outlines between segments, names in segments with room for them.

    Args:
        image: uint8 (H, W, 3), RGB.
        segments: ints (H, W), ids of the segments. Pixels with other ids are not drawn.
        infos: the segments.
        classes: names of the classes. A class without a name is shown by its number.
        colours: colours of the classes; None for :func:`~mmbeit3.visualization.drawing.class_colours`.
        opacity: opacity of the segments, 0 to 1.
        legend: True for a legend below the picture: objects with their number, other classes with their share of all pixels.
        legend_lines: for the pictures of one video: a legend as high as one with all classes, at most this number of lines;
            what does not fit is left out. None for the height that the picture needs.
        min_side: if the longer side of the image has fewer pixels, the picture is enlarged by a whole factor.

    Returns:
        uint8 (factor * H + legend, factor * W, 3), RGB.

    Raises:
        ValueError: if the arguments have other types, or their sizes differ.
    """
    segments = _checked(segments, image)
    found, counts = _count(segments)
    share = dict(zip(found.tolist(), counts / segments.size, strict=True))
    infos = [info for info in infos if info.id in share]
    picture, factor = new_canvas(image, min_side)
    indices = _indices(segments, [info.id for info in infos], factor)
    table = colours_for(colours, max((info.label for info in infos), default=-1) + 1)
    names = [class_name(classes, info.label) for info in infos]
    scores = ["" if info.score is None else f" {info.score:.2f}" for info in infos]
    drawn = table[[info.label for info in infos]]
    _paint(picture, indices, drawn, opacity)
    _write_names(picture, indices, [name + score for name, score in zip(names, scores, strict=True)], drawn)
    if legend:
        things = Counter(info.label for info in infos if info.is_thing)
        shares: Counter[int] = Counter()
        for info in infos:
            shares[info.label] += share[info.id]
        entries = [
            LegendEntry(class_name(classes, label), f"({things[label]})" if things[label] else _percent(part), table[label])
            for label, part in shares.most_common()
        ]
        fixed = None if legend_lines is None else (classes, legend_lines)
        picture = append_legend(picture, entries, text_height(picture), fixed)
    return picture


def _checked(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != image.shape[:2] or labels.dtype.kind not in "iub":
        raise ValueError(f"label map is {labels.dtype} {labels.shape}: give ints {image.shape[:2]}, the size of the image")
    return labels


def _count(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a map and the number of pixels of each; ``np.unique`` of the whole map would sort a copy of it."""
    total: Counter[int] = Counter()
    for top in range(0, len(labels), _ROWS):
        values, counts = np.unique(labels[top : top + _ROWS], return_counts=True)
        total.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    values = sorted(total)
    return np.array(values, np.int64), np.array([total[value] for value in values], np.int64)


def _indices(labels: np.ndarray, values: Sequence[int], factor: int) -> np.ndarray:
    """Return a map of positions in ``values``, enlarged; other pixels have ``len(values)``.

    Returns:
        uint16 (factor * H, factor * W).
    """
    order = np.argsort(values, kind="stable")
    ordered = np.array(values, np.int64)[order]
    indices = np.full(labels.shape, len(values), np.uint16)
    for top in range(0, len(labels) if len(values) else 0, _ROWS):
        part = labels[top : top + _ROWS].astype(np.int64)
        near = np.minimum(np.searchsorted(ordered, part), len(values) - 1)
        np.copyto(indices[top : top + _ROWS], order[near].astype(np.uint16), where=ordered[near] == part)
    return indices.repeat(factor, 0).repeat(factor, 1) if factor > 1 else indices


def _paint(picture: np.ndarray, indices: np.ndarray, colours: np.ndarray, opacity: float) -> None:
    """Blend regions with a picture and draw their borders, each side in the colour of its region."""
    if not len(colours):
        return
    line = max(1, line_width(picture) // 2)
    kernel = np.ones((2 * line + 1, 2 * line + 1), np.uint8)
    # The last entry is for pixels without a region; it is not used.
    table = np.concatenate([colours, colours[:1]])
    for top in range(0, len(indices), _ROWS):
        # A border depends on rows above and below.
        first, last = max(top - line, 0), min(top + _ROWS + line, len(indices))
        rows = slice(top - first, top - first + min(_ROWS, len(indices) - top))
        near = indices[first:last]
        borders = (cv2.dilate(near, kernel) != cv2.erode(near, kernel))[rows]
        part = picture[top : top + _ROWS]
        drawn = table[near[rows]]
        blended = cv2.addWeighted(part, 1 - opacity, drawn, opacity, 0)
        np.copyto(blended, drawn, where=borders[..., None])
        np.copyto(part, blended, where=(near[rows] < len(colours))[..., None])


def _write_names(picture: np.ndarray, indices: np.ndarray, texts: Sequence[str], colours: np.ndarray) -> None:
    """Write names into the regions that have room for them."""
    size = text_height(picture)
    positions = place_inside(indices, lambda index: text_size(texts[index], size), len(texts))
    for index, (left, top) in positions.items():
        paste(picture, render_text(texts[index], size, colours[index]), left, top)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share >= 0.0005 else "<0.1%"
