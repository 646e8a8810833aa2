"""COCO's panoptic PNGs, read without ``panopticapi``, which PyPI has not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mmbeit3.images.decoding import decode_image, open_image, orientation_of
from mmbeit3.images.errors import ImageError, naming_image

__all__ = ["read_segment_ids"]


def read_segment_ids(path: str | Path) -> np.ndarray:
    """Segment ids of a panoptic PNG.

    Args:
        path: a file whose colours hold ids, R + 256 G + 65536 B.

    Returns:
        int64 (H, W).

    Raises:
        UserError: if the file is missing, damaged, no PNG, or has no colours or an EXIF orientation.
    """
    with naming_image(f"panoptic ground truth '{path}'"):
        data = Path(path).read_bytes()
        _check_holds_ids(data)
        blue, green, red = np.moveaxis(decode_image(data).astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def _check_holds_ids(data: bytes) -> None:
    file = io.BytesIO(data)
    with open_image(file) as image:
        if image.format != "PNG":
            raise ImageError(f"is a {image.format}: write PNG, which keeps ids as they are")
        if image.mode not in ("RGB", "RGBA", "P"):
            raise ImageError(f"has no colours ({image.mode}), which ids are: write a PNG in RGB")
        if orientation_of(image, file) != 1:
            raise ImageError("has an EXIF orientation, which is not applied to ids: write it anew without")
