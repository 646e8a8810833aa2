"""Label images of semantic segmentation: the one decoder, and the check of their values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmbeit3.images.decoding import DAMAGE, open_image
from mmbeit3.images.errors import ImageError

__all__ = ["IGNORED", "LabelCoding", "decode_labels"]

IGNORED = 255
"""The label of pixels that are neither trained on nor scored, in mmseg and here."""

_ORIENTATION = 0x0112


def decode_labels(data: bytes) -> np.ndarray:
    """Decode a label image: a file whose pixels are class numbers, not colours. Palettes are for the eye and are not applied.

    Args:
        data: the file's bytes.

    Returns:
        int32 (H, W), the numbers as they stand in the file.

    Raises:
        ImageError: if the file is damaged, has several channels, or is of a lossy format.
    """
    with open_image(io.BytesIO(data)) as image:
        if image.format in ("JPEG", "MPO") or image.info.get("lossy"):
            raise ImageError(f"is a {image.format}, which changes class numbers: write label images as PNG")
        if image.format == "WEBP":
            raise ImageError("is a WebP, which has three channels: write label images as PNG with one channel of class numbers")
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ImageError(
                f"has {len(image.getbands())} channels ({image.mode}), not one of class numbers: write each pixel's class "
                "number into a PNG with one channel"
            )
        try:
            values = np.asarray(image).astype(np.int32)
            orientation = image.getexif().get(_ORIENTATION, 1)
        except DAMAGE as error:
            raise ImageError(f"is damaged ({error})") from error
        if orientation != 1:
            raise ImageError("has an EXIF orientation, which is not applied to labels: write it anew without")
        return values


@dataclass(frozen=True)
class LabelCoding:
    """How a dataset reads the numbers in its label images.

    Attributes:
        num_classes: classes that the model tells apart.
        reduce_zero_label: whether 0 in the files means ignored, and classes count from 1.
        label_map: the dataset's own class numbers to those of the config's classes, 255 for those left out; None if equal.
        ignored: a further label that the model ignores.
    """

    num_classes: int
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] | None = None
    ignored: int = IGNORED

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Turn numbers of a label image into labels, as mmseg does.

        Args:
            values: integers (H, W), from :func:`decode_labels`.

        Returns:
            uint8 (H, W), 0 to ``num_classes`` - 1, or 255 for ignored pixels.

        Raises:
            ImageError: if there are numbers that mean nothing.
        """
        table = self._table()
        clipped = np.clip(values, -1, len(table) - 1)
        labels = table[clipped]
        wrong = labels < 0
        if wrong.any():
            found = np.unique(values[wrong]).tolist()
            shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
            raise ImageError(f"has {int(wrong.sum())} pixels of the value {shown}; {self._meaning(found)}")
        return labels.astype(np.uint8)

    def _table(self) -> np.ndarray:
        """The label of each number that a file may have, -1 for what means nothing; the last stands for all others."""
        table = np.full(IGNORED + 2, -1, np.int64)
        for number in range(IGNORED + 1):
            label = number
            if self.reduce_zero_label:
                label = IGNORED if number in (0, IGNORED) else number - 1
            if self.label_map is not None and label != IGNORED:
                label = self.label_map.get(label, -1)
            if 0 <= label < self.num_classes or label in (IGNORED, self.ignored):
                table[number] = label
        return table

    def _meaning(self, found: list[int]) -> str:
        known = self.num_classes if self.label_map is None else len(self.label_map)
        if self.reduce_zero_label:
            return f"the {known} classes are 1 to {known} (reduce_zero_label), and 0 and {IGNORED} mean ignored"
        meaning = f"the {known} classes are 0 to {known - 1}, and {IGNORED} means ignored"
        if found == [known]:
            meaning += "; if classes count from 1 here and 0 means ignored, set reduce_zero_label=True in the dataset"
        return meaning
