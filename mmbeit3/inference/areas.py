"""Results that assign pixels to areas: semantic and panoptic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.files import naming_target
from mmbeit3.images import ImageInput, write_image
from mmbeit3.inference.masks import Mask
from mmbeit3.inference.results import Result
from mmbeit3.visualization.drawing import draw_regions, draw_segments

__all__ = ["Regions", "Segment", "Segments"]


class _Areas(Result):
    """Results that assign each pixel to at most one area."""

    def _areas(self) -> list[tuple[int, float | None, np.ndarray]]:
        """Return the class, the score and the mask, bool (H, W), of each area."""
        raise NotImplementedError

    def _coco_rows(self) -> list[tuple[int, dict[str, Any]]]:
        rows = []
        for label, score, pixels in self._areas():
            mask = Mask(pixels, 0, 0)
            row: dict[str, Any] = {"bbox": _box_of(pixels, wh=True), "segmentation": mask.rle(self.size), "area": mask.area}
            rows.append((label, row if score is None else {**row, "score": score}))
        return rows

    def _columns(self) -> dict[str, Any]:
        areas = self._areas()
        boxes = [_box_of(pixels) for _, _, pixels in areas]
        scores = [score for _, score, _ in areas]
        return {
            "xyxy": np.array(boxes, np.float32).reshape(-1, 4),
            "mask": np.stack([pixels for *_, pixels in areas]) if areas else np.zeros((0, *self.size), bool),
            "confidence": None if None in scores else np.array(scores, np.float32),
            "class_id": np.array([label for label, *_ in areas], np.int64),
        }


@dataclass(kw_only=True)
class Regions(_Areas):
    """Classes of the pixels of an image, from a model for semantic segmentation.

    Attributes:
        labels: uint8 or uint16 (H, W), indices of ``classes``; 255 (65535) for pixels without a class.
    """

    labels: np.ndarray

    def draw(self, image: ImageInput | None = None) -> np.ndarray:
        """Draw the classes in colours with a legend, see :meth:`Result.draw`."""
        return draw_regions(self.image(image), self.labels, classes=self.classes, colours=self.colours)

    def shares(self) -> dict[str, float]:
        """Return the share of pixels of each class that occurs, largest first."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.classes))[: len(self.classes)]
        order = np.argsort(-counts, kind="stable")
        return {self.classes[label]: int(counts[label]) / self.labels.size for label in order.tolist() if counts[label]}

    def save_labels(self, path: str | Path) -> Path:
        """Write the labels as a PNG file with one channel, the form of label images for training.

        Raises:
            UserError: if it cannot be written, or the path does not end in ``.png``.
        """
        return _write_map(path, self.labels)

    def _labels(self) -> Sequence[int]:
        return [self.classes.index(name) for name in self.shares()]

    def _areas(self) -> list[tuple[int, float | None, np.ndarray]]:
        return [(label, None, self.labels == label) for label in self._labels()]


@dataclass(frozen=True)
class Segment:
    """An area of a panoptic result.

    Attributes:
        id: its number in the map, from 1.
        label: index of its class.
        is_thing: True for an object, False for a region such as sky.
        score: score from 0 to 1; None if the model gives none.
    """

    id: int
    label: int
    is_thing: bool
    score: float | None = None


@dataclass(kw_only=True)
class Segments(_Areas):
    """Panoptic segmentation of an image: each pixel belongs to one object or region, or to none.

    Attributes:
        ids: int32 (H, W), ids of the segments; 0 for pixels without a segment.
        segments: the segments.
    """

    ids: np.ndarray
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return len(self.segments)

    def draw(self, image: ImageInput | None = None) -> np.ndarray:
        """Draw the segments in the colours of their classes, see :meth:`Result.draw`."""
        return draw_segments(self.image(image), self.ids, self.segments, classes=self.classes, colours=self.colours)

    def save_labels(self, path: str | Path) -> Path:
        """Write the ids as a PNG file with one channel of 16 bits.

        Raises:
            UserError: if it cannot be written, or the path does not end in ``.png``.
        """
        return _write_map(path, self.ids.astype(np.uint16))

    def _labels(self) -> Sequence[int]:
        return [segment.label for segment in self.segments]

    def _areas(self) -> list[tuple[int, float | None, np.ndarray]]:
        return [(segment.label, segment.score, self.ids == segment.id) for segment in self.segments]


def _box_of(pixels: np.ndarray, wh: bool = False) -> list[float]:
    """Return x1, y1, x2, y2 (with ``wh``: x1, y1, width, height) of a mask with at least one pixel."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    x1, y1, x2, y2 = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    return [x1, y1, x2 - x1, y2 - y1] if wh else [x1, y1, x2, y2]


def _write_map(path: str | Path, values: np.ndarray) -> Path:
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"labels cannot be written to '{path}': give a name that ends in .png, because JPEG changes values")
    with naming_target(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, values)
    return path
