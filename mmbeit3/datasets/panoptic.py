"""COCO's panoptic PNGs, read without ``panopticapi``, which PyPI has not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmbeit3.errors import UserError

__all__ = ["read_segment_ids"]


def read_segment_ids(path: str | Path) -> np.ndarray:
    """Segment ids of a panoptic PNG.

    Args:
        path: an image file whose colours hold ids, R + 256 G + 65536 B.

    Returns:
        int64 (H, W).

    Raises:
        UserError: if the file is missing or no image.
    """
    colours = cv2.imread(str(path))
    if colours is None:
        raise UserError(f"panoptic ground truth '{path}' is missing or no image")
    blue, green, red = np.moveaxis(colours.astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue
