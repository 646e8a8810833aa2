"""Writer of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmbeit3.errors import UserError, printable
from mmbeit3.files import write_atomically

__all__ = ["encode_image", "write_image"]


def write_image(path: str | Path, pixels: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write an image file in the format of its suffix. OpenCV's ``imwrite`` crashes for names that are not UTF-8.

    Args:
        path: the file; a missing folder is created.
        pixels: uint8 or uint16, (H, W, 3), BGR, or (H, W), grey.
        options: OpenCV's ``IMWRITE_*`` settings.

    Raises:
        UserError: if it cannot be written.
    """
    write_atomically(path, encode_image(path, pixels, options))


def encode_image(path: str | Path, pixels: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """Encode an image to the bytes that :func:`write_image` writes.

    Raises:
        UserError: if the suffix is not that of an image format, or OpenCV cannot encode the pixels.
    """
    name = printable(str(path), 4096)
    try:
        encoded, data = cv2.imencode(Path(path).suffix, pixels, list(options))
    except cv2.error as error:
        raise UserError(f"image '{name}' cannot be written: give a name that ends in .png or .jpg") from error
    if not encoded:
        raise UserError(f"image '{name}' cannot be encoded as {pixels.dtype} {pixels.shape}: give a name that ends in .png")
    return bytes(data.tobytes())
