"""Results of predictions: plain dataclasses of arrays that can be drawn, saved and converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.files import refuse_overwriting, write_atomically
from mmbeit3.images import ImageInput, encode_image, read_pixels
from mmbeit3.inference.masks import Mask
from mmbeit3.visualization.drawing import draw_objects

if TYPE_CHECKING:
    import supervision

__all__ = ["Objects", "Result"]


@dataclass(kw_only=True)
class Result:
    """Base class of the results: one image and what was found in it.

    Attributes:
        path: path or URL of the image or video; None for pixels.
        frame: number of the frame in a video, from 0; None for an image.
        size: height and width of the image in pixels.
        classes: names of all classes of the model.
        colours: uint8 (C, 3), RGB, one colour per class.
        pixels: uint8 (H, W, 3), BGR, the image; None if it is read again from ``path`` when it is needed.
        upright: True if the image is rotated upright by its EXIF orientation, the default of test pipelines.
    """

    path: str | None
    frame: int | None = None
    size: tuple[int, int]
    classes: tuple[str, ...] = field(repr=False)
    colours: np.ndarray = field(repr=False)
    pixels: np.ndarray | None = field(default=None, repr=False)
    upright: bool = field(default=True, repr=False)

    def image(self, given: ImageInput | None = None) -> np.ndarray:
        """Return the image as uint8 (H, W, 3), RGB.

        Args:
            given: the image, if it is neither in memory nor in a file that can be read again.

        Raises:
            UserError: if the image cannot be read, or does not have the size of the result.
        """
        pixels = self.pixels if given is None else read_pixels(given, self.upright)
        if pixels is None:
            if self.frame is not None:
                raise UserError(
                    f"frame {self.frame} of '{self.path}' is not in memory: call draw(image) with the frame, or draw in a loop "
                    "over model.stream(video)"
                )
            if self.path is None:
                raise UserError("the image of this result is not in memory: call draw(image) with the image")
            pixels = read_pixels(self.path, self.upright)
        if pixels.shape[:2] != self.size:
            height, width = pixels.shape[:2]
            raise UserError(
                f"the image has {width} x {height} pixels, but the result is for {self.size[1]} x {self.size[0]} (width x "
                f"height): give the image that was predicted"
            )
        return pixels[..., ::-1]

    def draw(self, image: ImageInput | None = None, legend_lines: int | None = None) -> np.ndarray:
        """Draw the result on the image.

        Args:
            image: the image, for results that do not keep it, such as frames of a video; default: it is read again.
            legend_lines: for the pictures of one video: all get a legend of the same height, at most this number of lines.
                Classes that do not fit are left out. Default: a legend as high as needed, and for objects only if their labels
                do not fit.

        Returns:
            uint8 (H', W', 3), RGB. Small images are enlarged by a whole factor, so that names are readable.

        Raises:
            UserError: if the image cannot be read.
        """
        raise NotImplementedError

    def save(self, path: str | Path, image: ImageInput | None = None) -> Path:
        """Draw the result and write the picture.

        Args:
            path: the file, whose suffix is that of an image format. A missing folder is created.
            image: see :meth:`draw`.

        Returns:
            The path.

        Raises:
            UserError: if the image cannot be read, the picture cannot be written, or ``path`` is the image itself.
        """
        path = Path(path)
        self._refuse_source(path)
        write_atomically(path, encode_image(path, self.draw(image)[..., ::-1]))
        return path

    def counts(self) -> dict[str, int]:
        """Return how many objects or regions of each class were found, most frequent first."""
        return dict(Counter(self.classes[label] for label in self._labels()).most_common())

    def to_coco(self, image_id: int = 0, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the result in COCO's result format: one dict per object or region, ready for JSON.

        Args:
            image_id: id of the image.
            category_ids: id of each class; default: 1, 2, … in the order of ``classes``.

        Raises:
            UserError: if there are fewer ids than classes.
        """
        ids = list(range(1, len(self.classes) + 1)) if category_ids is None else list(category_ids)
        if len(ids) < len(self.classes):
            raise UserError(f"{len(ids)} category_ids for {len(self.classes)} classes: give one id per class")
        return [{"image_id": image_id, "category_id": ids[label], **rest} for label, rest in self._coco_rows()]

    def to_supervision(self) -> supervision.Detections:
        """Return the result as ``supervision.Detections``; the class names are in ``data["class_name"]``.

        Raises:
            UserError: if the package ``supervision`` is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError(f"to_supervision needs supervision ({error}): pip install 'mmbeit3[supervision]'") from error
        columns = self._columns()
        names = np.array([self.classes[label] for label in columns["class_id"]], dtype=object).astype(str)
        return supervision.Detections(**columns, data={"class_name": names})

    def _refuse_source(self, path: Path) -> None:
        """Refuse to write a file over the image."""
        if self.path is not None:
            refuse_overwriting(path, self.path)

    def _labels(self) -> Sequence[int]:
        """Return the class of each object or region."""
        raise NotImplementedError

    def _coco_rows(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the class and the other fields of each object or region."""
        raise NotImplementedError

    def _columns(self) -> dict[str, Any]:
        """Return the arguments of ``supervision.Detections``, with ``class_id``."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Objects(Result):
    """Objects of an image, from a detector: boxes, and masks if the model predicts them. Sorted by score, highest first.

    Attributes:
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels of the image.
        scores: float32 (N,), from 0 to 1.
        labels: int64 (N,), indices of ``classes``.
        masks: one :class:`~mmbeit3.inference.masks.Mask` per object, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: tuple[Mask, ...] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def draw(self, image: ImageInput | None = None, legend_lines: int | None = None) -> np.ndarray:
        """Draw boxes, masks, names and scores, see :meth:`Result.draw`."""
        return draw_objects(
            self.image(image),
            self.boxes,
            self.labels,
            self.scores,
            self.masks,
            classes=self.classes,
            colours=self.colours,
            legend_lines=legend_lines,
        )

    def full_masks(self) -> np.ndarray:
        """Return the masks as bool (N, H, W). This takes H * W bytes per object.

        Raises:
            UserError: if the model predicts no masks.
        """
        if self.masks is None:
            raise UserError("the model predicts no masks: use a config with a mask head")
        return np.stack([mask.full(self.size) for mask in self.masks]) if self.masks else np.zeros((0, *self.size), bool)

    def _labels(self) -> Sequence[int]:
        return self.labels.tolist()

    def _coco_rows(self) -> list[tuple[int, dict[str, Any]]]:
        rows = []
        columns = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        for index, (box, score, label) in enumerate(columns):
            row: dict[str, Any] = {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "score": score}
            if self.masks is not None:
                row["segmentation"] = self.masks[index].rle(self.size)
                row["area"] = self.masks[index].area
            rows.append((label, row))
        return rows

    def _columns(self) -> dict[str, Any]:
        masks = None if self.masks is None else self.full_masks()
        return {"xyxy": self.boxes, "mask": masks, "confidence": self.scores, "class_id": self.labels}
