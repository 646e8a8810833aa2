"""Label images of semantic segmentation: decoder, and check of their values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmbeit3.errors import list_first
from mmbeit3.images.decoding import DECODE_ERRORS, EXIF_ORIENTATION, open_image
from mmbeit3.images.errors import ImageError

__all__ = ["IGNORED", "LabelCoding", "decode_labels"]

IGNORED = 255
"""Label of ignored pixels, which are neither trained on nor scored; the same as in mmseg."""


def decode_labels(data: bytes) -> np.ndarray:
    """Decode a label image, whose pixel values are class numbers and not colours. A palette is for display and not applied.

    Args:
        data: the file's bytes.

    Returns:
        int32 (H, W), the numbers in the file.

    Raises:
        ImageError: if the file is damaged, has several channels, or has a lossy format.
    """
    with open_image(io.BytesIO(data)) as image:
        if image.format in ("JPEG", "MPO") or image.info.get("lossy"):
            raise ImageError(f"is a {image.format} file, whose compression changes class numbers: write label images as PNG")
        if image.format == "WEBP":
            raise ImageError("is a WebP file, which has three channels: write label images as PNG with one channel")
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ImageError(
                f"has {len(image.getbands())} channels ({image.mode}): write each pixel's class number into a PNG with one "
                "channel"
            )
        try:
            values = np.asarray(image).astype(np.int32)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        except DECODE_ERRORS as error:
            raise ImageError(f"is damaged ({error})") from error
        if orientation != 1:
            raise ImageError("has an EXIF orientation, which is not applied to labels: save it without EXIF")
        return values


@dataclass(frozen=True)
class LabelCoding:
    """Mapping from the numbers in a dataset's label images to labels.

    Attributes:
        num_classes: number of the model's classes.
        reduce_zero_label: True if 0 in the files means ignored, and classes count from 1.
        label_map: class number of the dataset to that of the config's classes, 255 for classes that are left out; None if both
            are the same.
        ignored: another label that the model ignores.
    """

    num_classes: int
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] | None = None
    ignored: int = IGNORED

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Convert the numbers of a label image to labels, in the same way as mmseg.

        Args:
            values: integers (H, W), from :func:`decode_labels`.

        Returns:
            uint8 (H, W), 0 to ``num_classes`` - 1, or 255 for ignored pixels.

        Raises:
            ImageError: if a number is neither a class nor ignored.
        """
        table = self._table()
        clipped = np.clip(values, -1, len(table) - 1)
        labels = table[clipped]
        wrong = labels < 0
        if wrong.any():
            found = np.unique(values[wrong]).tolist()
            raise ImageError(f"has {int(wrong.sum())} pixels of the value {list_first(found)}; {self._explain(found)}")
        return labels.astype(np.uint8)

    def _table(self) -> np.ndarray:
        """Return the label of each number 0 to 255, and -1 for numbers without a meaning. The last item is for all others."""
        table = np.full(IGNORED + 2, -1, np.int64)
        for number in range(IGNORED + 1):
            label = number
            if self.reduce_zero_label:
                # 0 becomes 255 (ignored), and 1 to 254 move down by one. 255 stays, as in mmseg.
                label = IGNORED if number in (0, IGNORED) else number - 1
            if self.label_map is not None and label != IGNORED:
                label = self.label_map.get(label, -1)
            if 0 <= label < self.num_classes or label in (IGNORED, self.ignored):
                table[number] = label
        return table

    def _explain(self, found: list[int]) -> str:
        known = self.num_classes if self.label_map is None else len(self.label_map)
        if self.reduce_zero_label:
            return (
                f"the {known} classes are 1 to {known} (reduce_zero_label), and 0 and {IGNORED} mean ignored: correct the file"
            )
        meaning = f"the {known} classes are 0 to {known - 1}, and {IGNORED} means ignored"
        if found == [known]:
            return meaning + ": if classes count from 1 and 0 means ignored, set reduce_zero_label=True in the dataset"
        return meaning + ": correct the file, or set metainfo.classes"
