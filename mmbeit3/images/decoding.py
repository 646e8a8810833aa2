"""The one decoder of image files, and what a file's header says of the size."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mmbeit3.images.depth import to_8_bits
from mmbeit3.images.errors import ImageError

__all__ = [
    "DAMAGE",
    "FORMATS",
    "decode_image",
    "image_size",
    "is_whole_jpeg",
    "open_image",
    "orientation_of",
    "stated_orientation",
    "to_bgr",
    "upright",
]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""The formats that are read, by Pillow's names. JPEG brings MPO along, as some cameras write it."""

_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT = 0x0112, 0x0100, 0x0101

_TURNED = range(5, 9)
"""EXIF orientations that swap width and height."""

DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, MemoryError),
    *(AttributeError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError, cv2.error),
)
"""What Pillow's readers and OpenCV raise for damaged files."""


def decode_image(data: bytes, orient: bool = True) -> np.ndarray:
    """Decode an image file.

    JPEG is decoded by OpenCV, as in mmcv, after a check that it is whole: OpenCV fills up a truncated one with grey. Everything
    else, and JPEG in CMYK, is decoded by Pillow, which refuses truncated files. Transparency is dropped, and of several frames
    the first is taken. Depths are those of :func:`~mmbeit3.images.depth.to_8_bits`.

    Args:
        data: the file's bytes.
        orient: turn the image upright as its EXIF orientation says. A TIFF is always turned.

    Returns:
        BGR, uint8 (H, W, 3).

    Raises:
        ImageError: if the file is empty, damaged, truncated, no image, or so large that Pillow suspects an attack.
    """
    file = io.BytesIO(data)
    with open_image(file) as image:
        try:
            is_jpeg = image.format in ("JPEG", "MPO")
            if is_jpeg and not is_whole_jpeg(data):
                raise ImageError("is truncated")
            # Pillow itself turns a TIFF while it loads it.
            orientation = orientation_of(image, file) if orient and not isinstance(image, TiffImageFile) else 1
            if is_jpeg and image.mode != "CMYK":
                return upright(_decode_jpeg(data), orientation)
            image.load()
            return upright(to_bgr(image), orientation)
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
            if isinstance(image, TiffImageFile):
                # Whether Pillow has turned the size already depends on its version.
                width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]
                turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
            else:
                width, height = image.size
                turned = orient and orientation_of(image, file) in _TURNED
        except DAMAGE as error:
            raise ImageError(f"is damaged ({error})") from error
        return (height, width) if turned else (width, height)


def is_whole_jpeg(data: bytes) -> bool:
    """Whether a JPEG has its end. The marker of the end cannot occur inside coded pixels; a thumbnail has its own before."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image file with Pillow, which reads the header and leaves the pixels for later.

    Raises:
        ImageError: if it is no image of a known format.
    """
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError("is no image or is damaged") from error
    except DAMAGE as error:
        raise ImageError(f"is damaged ({error})") from error


def to_bgr(image: Image.Image) -> np.ndarray:
    """The pixels of an image of PIL's, of any mode, as they lie: uint8 (H, W, 3), BGR.

    Raises:
        ImageError: if they are no colours.
    """
    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image)
        # Of these a version of Pillow opens 16 bits as 32.
        grey = to_8_bits(pixels.astype(np.uint16) if image.mode == "I" and image.format in ("PNG", "PPM") else pixels)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "La":
        image = image.convert("LA")
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels (H, W, C) as an EXIF orientation from 1 to 8 says; others are taken for 1."""
    if orientation in _TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def stated_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image of PIL's that is loaded; 1 if there is none, or if its EXIF data is damaged."""
    if "exif" not in image.info and image.info.keys() & {"xmp", "XML:com.adobe.xmp"}:
        # Pillow would take it from XMP, which neither viewers nor OpenCV look at.
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except DAMAGE:
        return 1


def orientation_of(image: Image.Image, file: BinaryIO) -> int:
    """The orientation of an image just opened, but for TIFF's; 1 if its EXIF data is damaged, as every viewer takes it."""
    data = image.info.get("exif") or (_png_exif(file) if image.format == "PNG" else b"")
    exif = Image.Exif()
    try:
        exif.load(data)
        return int(exif.get(_ORIENTATION, 1))
    except DAMAGE:
        return 1


def _png_exif(file: BinaryIO) -> bytes:
    """The EXIF data of a PNG that has it behind its pixels; Pillow would decode them to find it."""
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return b"Exif\0\0" + file.read(length)
            file.seek(length + 4, io.SEEK_CUR)
        return b""
    finally:
        file.seek(place)


def _decode_jpeg(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError("is damaged")
    return pixels
