"""Decoder of image files, and reader of the image size in a file's header."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mmbeit3.images.depth import to_8_bits
from mmbeit3.images.errors import ImageError

__all__ = [
    "DECODE_ERRORS",
    "EXIF_ORIENTATION",
    "FORMATS",
    "apply_orientation",
    "decode_image",
    "image_size",
    "is_complete_jpeg",
    "is_complete_png",
    "loaded_orientation",
    "open_image",
    "read_orientation",
    "to_bgr",
]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Supported formats, by Pillow's names. JPEG includes MPO, which some cameras write."""

EXIF_ORIENTATION = 0x0112
"""EXIF tag of the orientation: 1 is upright, 2 to 8 are the other flips and rotations."""

_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""Marker that begins a segment with a length, or ends the image. The others are part of coded pixels, or filling."""

_ROTATED = range(5, 9)
"""EXIF orientations that swap width and height."""

DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, MemoryError),
    *(AttributeError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError, cv2.error),
)
"""Exceptions that Pillow and OpenCV raise for damaged files."""


def decode_image(data: bytes, orient: bool = True) -> np.ndarray:
    """Decode an image file.

    OpenCV decodes JPEG, as in mmcv, after a check that the file is complete: OpenCV fills a truncated file with grey. Pillow
    decodes other formats and CMYK JPEG, and refuses truncated files. Transparency is dropped, and only the first frame is used.
    :func:`~mmbeit3.images.depth.to_8_bits` converts other bit depths.

    Args:
        data: the file's bytes.
        orient: rotate the image upright by its EXIF orientation. A TIFF is always rotated.

    Returns:
        BGR, uint8 (H, W, 3).

    Raises:
        ImageError: if the file is empty, damaged, truncated or not an image, or has more pixels than Pillow's limit against
            decompression bombs.
    """
    file = io.BytesIO(data)
    with open_image(file) as image:
        try:
            is_jpeg = image.format in ("JPEG", "MPO")
            if is_jpeg and not is_complete_jpeg(data):
                raise ImageError("is truncated")
            # Pillow rotates a TIFF while it loads it.
            orientation = read_orientation(image, file) if orient and not isinstance(image, TiffImageFile) else 1
            if is_jpeg and image.mode != "CMYK":
                return apply_orientation(_decode_jpeg(data), orientation)
            image.load()
            return apply_orientation(to_bgr(image), orientation)
        except ImageError:
            raise
        except DECODE_ERRORS as error:
            raise ImageError(f"is damaged ({error})") from error


def image_size(file: str | Path | BinaryIO, orient: bool = True) -> tuple[int, int]:
    """Return the width and height that :func:`decode_image` would give, from the header only.

    Raises:
        ImageError: if it is not an image.
        OSError: if a path cannot be opened.
    """
    if isinstance(file, str | Path):
        with Path(file).open("rb") as opened:
            return image_size(opened, orient)
    with open_image(file) as image:
        try:
            if isinstance(image, TiffImageFile):
                # Some versions of Pillow swap width and height of a rotated TIFF on opening, so read the tags.
                width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]
                rotated = image.getexif().get(EXIF_ORIENTATION, 1) in _ROTATED
            else:
                width, height = image.size
                rotated = orient and read_orientation(image, file) in _ROTATED
        except DECODE_ERRORS as error:
            raise ImageError(f"is damaged ({error})") from error
        return (height, width) if rotated else (width, height)


def is_complete_jpeg(data: bytes) -> bool:
    """Return True if a JPEG has its image's end marker (FFD9).

    Segments are skipped by their lengths, because a thumbnail in one has its own end marker. Coded pixels, after the segment
    that starts a scan, cannot contain markers of segments. Data after the end, such as the video of a motion photo, do not
    count.
    """
    position = 2
    while (marker := _JPEG_MARKER.search(data, position)) is not None:
        if marker[0] == b"\xff\xd9":
            return True
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def is_complete_png(file: BinaryIO) -> bool:
    """Return True if a PNG has its last chunk (IEND). Data after it do not count. Moves the file's position."""
    return any(kind == b"IEND" for kind, _ in _png_chunks(file))


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image file with Pillow, which reads only the header.

    Raises:
        ImageError: if it is not an image of a supported format.
    """
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        empty = file.seek(0, io.SEEK_END) == 0
        raise ImageError("is empty (0 bytes)" if empty else "is not an image or is damaged") from error
    except DECODE_ERRORS as error:
        raise ImageError(f"is damaged ({error})") from error


def to_bgr(image: Image.Image) -> np.ndarray:
    """Convert a PIL image of any mode to uint8 (H, W, 3), BGR, without rotating it.

    Raises:
        ImageError: if the pixel values are out of range, see :func:`~mmbeit3.images.depth.to_8_bits`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image)
        # Some versions of Pillow open 16-bit PNG and PPM as 32-bit integers.
        grey = to_8_bits(pixels.astype(np.uint16) if image.mode == "I" and image.format in ("PNG", "PPM") else pixels)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "La":
        image = image.convert("LA")
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def apply_orientation(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and flip pixels (H, W, C) upright by their EXIF orientation, 1 to 8. Other values count as 1."""
    if orientation in _ROTATED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def loaded_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded PIL image. 1 if it has none, or its EXIF data is damaged."""
    if "exif" not in image.info and image.info.keys() & {"xmp", "XML:com.adobe.xmp"}:
        # Pillow would read it from XMP, which viewers and OpenCV ignore.
        return 1
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except DECODE_ERRORS:
        return 1


def read_orientation(image: Image.Image, file: BinaryIO) -> int:
    """Return the EXIF orientation of an image that was opened but not loaded; not for TIFF.

    1 if it has none, or its EXIF data is damaged, as in image viewers.
    """
    data = image.info.get("exif") or (_png_exif(file) if image.format == "PNG" else b"")
    exif = Image.Exif()
    try:
        exif.load(data)
        return int(exif.get(EXIF_ORIENTATION, 1))
    except DECODE_ERRORS:
        return 1


def _png_exif(file: BinaryIO) -> bytes:
    """Return the EXIF data of a PNG that stores it after the pixels. Pillow would decode all pixels to find it."""
    position = file.tell()
    try:
        return next((b"Exif\0\0" + file.read(length) for kind, length in _png_chunks(file) if kind == b"eXIf"), b"")
    finally:
        file.seek(position)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the type and length of each chunk up to the last one (IEND), with the file at the chunk's data."""
    # After the signature of 8 bytes, each chunk is: length, type, data, and a checksum of 4 bytes.
    start, kind = 8, b""
    while kind != b"IEND":
        file.seek(start)
        if len(head := file.read(8)) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        start += 12 + length


def _decode_jpeg(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError("is damaged")
    return pixels
