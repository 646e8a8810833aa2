"""Results that assign pixels to areas: semantic and panoptic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.images import ImageInput, encode_image
from mmbeit3.inference.masks import crop_mask
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
            mask = crop_mask(pixels)
            left, top, right, bottom = mask.box
            row: dict[str, Any] = {"bbox": [left, top, right - left, bottom - top]}
            row |= {"segmentation": mask.rle(self.size), "area": mask.area}
            rows.append((label, row if score is None else {**row, "score": score}))
        return rows

    def _columns(self) -> dict[str, Any]:
        areas = self._areas()
        boxes = [crop_mask(pixels).box for _, _, pixels in areas]
        scores = [score for _, score, _ in areas]
        return {
            "xyxy": np.array(boxes, np.float32).reshape(-1, 4),
            "mask": np.stack([pixels for *_, pixels in areas]) if areas else np.zeros((0, *self.size), bool),
            "confidence": None if None in scores else np.array(scores, np.float32),
            "class_id": np.array([label for label, *_ in areas], np.int64),
        }

    def _write_map(self, path: str | Path, values: np.ndarray) -> Path:
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"labels cannot be written to '{path}': give a name that ends in .png, because JPEG changes values")
        self._refuse_source(path)
        write_atomically(path, encode_image(path, values))
        return path


@dataclass(kw_only=True)
class Regions(_Areas):
    """Classes of the pixels of an image, from a model for semantic segmentation.

    Attributes:
        labels: uint8 or uint16 (H, W), indices of ``classes``; 255 (65535) for pixels without a class.
    """

    labels: np.ndarray

    def draw(self, image: ImageInput | None = None, legend_lines: int | None = None) -> np.ndarray:
        """Draw the classes in colours with a legend, see :meth:`Result.draw`."""
        picture = self.image(image)
        return draw_regions(picture, self.labels, classes=self.classes, colours=self.colours, legend_lines=legend_lines)

    def shares(self) -> dict[str, float]:
        """Return the share of pixels of each class that occurs, largest first."""
        return {self.classes[label]: count / self.labels.size for label, count in self._pixel_counts().items()}

    def save_labels(self, path: str | Path) -> Path:
        """Write the labels as a PNG file with one channel, the form of label images for training.

        Raises:
            UserError: if it cannot be written, the path does not end in ``.png``, or it is the image itself.
        """
        return self._write_map(path, self.labels)

    def _labels(self) -> Sequence[int]:
        return list(self._pixel_counts())

    def _pixel_counts(self) -> dict[int, int]:
        """Return the number of pixels of each class that occurs, largest first."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.classes))[: len(self.classes)]
        order = np.argsort(-counts, kind="stable")
        return {label: int(counts[label]) for label in order.tolist() if counts[label]}

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

    def draw(self, image: ImageInput | None = None, legend_lines: int | None = None) -> np.ndarray:
        """Draw the segments in the colours of their classes, see :meth:`Result.draw`."""
        drawn = (self.image(image), self.ids, self.segments)
        return draw_segments(*drawn, classes=self.classes, colours=self.colours, legend_lines=legend_lines)

    def save_labels(self, path: str | Path) -> Path:
        """Write the ids as a PNG file with one channel of 16 bits.

        Raises:
            UserError: if it cannot be written, the path does not end in ``.png``, or it is the image itself.
        """
        return self._write_map(path, self.ids.astype(np.uint16))

    def _labels(self) -> Sequence[int]:
        return [segment.label for segment in self.segments]

    def _areas(self) -> list[tuple[int, float | None, np.ndarray]]:
        return [(segment.label, segment.score, self.ids == segment.id) for segment in self.segments]
