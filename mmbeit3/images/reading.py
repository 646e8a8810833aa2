"""Readers of images from paths, URLs, arrays and PIL images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from mmbeit3.downloads import fetch, is_url
from mmbeit3.errors import UserError, printable
from mmbeit3.images.decoding import DECODE_ERRORS, FORMATS, apply_orientation, decode_image, loaded_orientation, to_bgr
from mmbeit3.images.depth import to_8_bits
from mmbeit3.images.errors import ImageError

__all__ = ["LARGEST_DOWNLOAD", "ImageInput", "read_image", "read_pixels"]

ImageInput = str | Path | np.ndarray | Image.Image
"""Type of an image: a path, an http(s) URL, an array in OpenCV's BGR order, or a PIL image."""

LARGEST_DOWNLOAD = 100_000_000
"""Largest size in bytes of an image at a URL."""

_LONGEST_NAME = 4096


def read_image(path: str | Path, orient: bool = True) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3), BGR, see :func:`~mmbeit3.images.decode_image`.

    Raises:
        UserError: if it cannot be read.
    """
    name = _shown(path)
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"'{name}' is a folder: give the path of one image")
        if path.exists() and not path.is_file():
            raise UserError(f"'{name}' is not a regular file: give the path of an image")
        return decode_image(path.read_bytes(), orient)
    except FileNotFoundError as error:
        raise UserError(f"image '{name}' does not exist: give a JPEG or PNG file") from error
    except ImageError as error:
        raise _unreadable(name, error) from error
    except OSError as error:
        raise UserError(f"image '{name}' cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        # The path has a null byte.
        raise UserError(f"'{name}' is not a valid path ({error}): give the path of an image") from error


def read_pixels(image: ImageInput, orient: bool = True) -> np.ndarray:
    """Return an image's pixels.

    Args:
        image: a path; an ``http(s)://`` URL; an array (H, W, 3), BGR, (H, W, 4), BGR and transparency, which is dropped, or
            (H, W), grey, of a type that :func:`~mmbeit3.images.depth.to_8_bits` supports; or a PIL image. A PIL image that is
            open but not loaded gives the same pixels as its file.
        orient: rotate the image upright by its EXIF orientation.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        UserError: if the argument is not an image, or the image cannot be read.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pil(image, orient)
    if not isinstance(image, str | Path):
        raise UserError(f"{type(image).__name__} is not an image: give a path, a URL, an array (BGR) or a PIL image")
    return _from_address(str(image), orient) if is_url(image) else read_image(image, orient)


def _unreadable(name: str, error: ImageError) -> UserError:
    """Return the error for an image file that cannot be decoded."""
    return UserError(f"image '{_shown(name)}' {printable(str(error), 300)}: give a JPEG or PNG file")


def _shown(name: str | Path) -> str:
    return printable(str(name), _LONGEST_NAME)


def _from_address(address: str, orient: bool) -> np.ndarray:
    data = fetch(address, LARGEST_DOWNLOAD)
    try:
        return decode_image(data, orient)
    except ImageError as error:
        raise _unreadable(address, error) from error


def _from_array(image: np.ndarray) -> np.ndarray:
    what = f"an array of shape {image.shape} and type {image.dtype}"
    if not image.size or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))):
        raise UserError(f"{what} is not an image: give (H, W, 3) in BGR order, (H, W, 4) or (H, W)")
    colours = image[..., None] if image.ndim == 2 else image[..., :3]
    try:
        pixels = to_8_bits(colours)
    except ImageError as error:
        raise UserError(f"{what} {error}: give uint8, 0 to 255") from error
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, 2))


def _from_pil(image: Image.Image, orient: bool) -> np.ndarray:
    try:
        data = _read_file(image)
        if data is not None:
            return decode_image(data, orient)
        image.load()
        return apply_orientation(to_bgr(image), loaded_orientation(image) if orient else 1)
    except ImageError as error:
        raise UserError(f"a PIL image {error}: give a complete one") from error
    except DECODE_ERRORS as error:
        raise UserError(f"a PIL image is damaged ({printable(str(error), 300)}): give a complete one") from error


def _read_file(image: Image.Image) -> bytes | None:
    """Return the file of a PIL image that is open but not loaded, so that it is decoded like its path. None for others."""
    if not isinstance(image, ImageFile.ImageFile) or image.format not in (*FORMATS, "MPO") or image.tell():
        return None
    file = getattr(image, "fp", None)
    if file is None or not image.tile or isinstance(file, io.TextIOBase):
        return None
    position = file.tell()
    try:
        file.seek(0)
        return file.read()
    finally:
        file.seek(position)
