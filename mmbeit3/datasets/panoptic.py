"""Reader of COCO's panoptic PNGs. It replaces ``panopticapi``, which is not on PyPI."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mmbeit3.images.decoding import decode_image, open_image, read_orientation
from mmbeit3.images.errors import ImageError, naming_image

__all__ = ["read_segment_ids"]


def read_segment_ids(path: str | Path) -> np.ndarray:
    """Read the segment ids of a panoptic PNG.

    Args:
        path: a PNG whose colours encode ids as R + 256 G + 65536 B (https://cocodataset.org/#format-data). 0 is no segment.

    Returns:
        int64 (H, W).

    Raises:
        UserError: if the file is missing, damaged or not a PNG, has no colours, or has an EXIF orientation.
    """
    with naming_image(f"panoptic ground truth '{path}'"):
        data = Path(path).read_bytes()
        _check_format(data)
        blue, green, red = np.moveaxis(decode_image(data).astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def _check_format(data: bytes) -> None:
    file = io.BytesIO(data)
    with open_image(file) as image:
        if image.format != "PNG":
            raise ImageError(f"is a {image.format} file: write PNG, which does not change ids")
        if image.mode not in ("RGB", "RGBA", "P"):
            raise ImageError(f"has the mode {image.mode}, but ids are colours: write an RGB PNG")
        if read_orientation(image, file) != 1:
            raise ImageError("has an EXIF orientation, which is not applied to ids: save it without EXIF")
