"""Image files: the one decoder, and what the header says of the size."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

__all__ = ["DAMAGE", "ImageError", "decode_image", "image_size", "is_whole_jpeg", "open_image"]

# JPEG brings MPO along, as some cameras write it.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")

_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT = 0x0112, 0x0100, 0x0101

_TURNED = range(5, 9)
"""EXIF orientations that swap width and height."""

DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError, cv2.error),
)
"""What Pillow's readers and OpenCV raise for damaged files."""


class ImageError(ValueError):
    """Bytes that are no image, or a damaged one; the message says what is wrong, to be read after the image's name."""


def decode_image(data: bytes, orient: bool = True) -> np.ndarray:
    """Decode an image file.

    JPEG is decoded by OpenCV, as in mmcv, after a check that it is whole: OpenCV fills up a truncated one with grey. Everything
    else is decoded by Pillow, which refuses truncated files. Transparency is dropped. Of 16 bits the upper 8 are kept, and
    floating point of 0 to 1 becomes 0 to 255.

    Args:
        data: the file's bytes.
        orient: turn the image upright as its EXIF orientation says. A TIFF is always turned.

    Returns:
        BGR, uint8 (H, W, 3).

    Raises:
        ImageError: if the file is empty, damaged, truncated, no image, or so large that Pillow suspects an attack.
    """
    with open_image(io.BytesIO(data)) as image:
        try:
            if image.format in ("JPEG", "MPO"):
                return _decode_jpeg(data, orient)
            # Pillow itself turns a TIFF while it loads it.
            image.load()
            return _to_bgr(ImageOps.exif_transpose(image) if orient else image)
        except ImageError:
            raise
        except DAMAGE as error:
            raise ImageError(f"is damaged ({error})") from error


def image_size(file: str | Path | BinaryIO, orient: bool = True) -> tuple[int, int]:
    """Width and height that :func:`decode_image` would give, from the header alone.

    Raises:
        ImageError: if it is no image.
        OSError: if a path cannot be opened.
    """
    if isinstance(file, str | Path):
        with Path(file).open("rb") as opened:
            return image_size(opened, orient)
    with open_image(file) as image:
        try:
            width, height = image.size
            if isinstance(image, TiffImageFile):
                # Whether Pillow has turned the size already depends on its version.
                width, height, orient = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT], True
            turned = orient and _orientation(image) in _TURNED
        except DAMAGE as error:
            raise ImageError(f"is damaged ({error})") from error
        return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    if image.format != "PNG":
        return image.getexif().get(_ORIENTATION, 1)
    # To look for EXIF data behind a PNG's pixels Pillow would decode them.
    exif = Image.Exif()
    exif.load(image.info.get("exif") or b"")
    return exif.get(_ORIENTATION, 1)


def is_whole_jpeg(data: bytes) -> bool:
    """Whether a JPEG has its end. The marker of the end cannot occur inside coded pixels; a thumbnail has its own before."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image file with Pillow, which reads the header and leaves the pixels for later.

    Raises:
        ImageError: if it is no image of a known format.
    """
    try:
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError("is no image or is damaged") from error
    except DAMAGE as error:
        raise ImageError(f"is damaged ({error})") from error


def _decode_jpeg(data: bytes, orient: bool) -> np.ndarray:
    if not is_whole_jpeg(data):
        raise ImageError("is truncated")
    flags = cv2.IMREAD_COLOR if orient else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ImageError("is damaged")
    return pixels


def _to_bgr(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bits(np.asarray(image), image.mode)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _to_8_bits(pixels: np.ndarray, mode: str) -> np.ndarray:
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() >= 1 << 16:
        raise ImageError("has pixels that are no numbers from 0 to 65535")
    if mode == "F" and pixels.max() <= 1:
        return (pixels * 255).round().astype(np.uint8)
    if pixels.max() <= 255 and not mode.startswith("I;16"):
        return pixels.astype(np.uint8)
    return (pixels.astype(np.int64) >> 8).astype(np.uint8)
