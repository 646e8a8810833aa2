"""Images as users have them, made pixels: paths, addresses, arrays and PIL's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from mmbeit3.downloads import fetch, is_url
from mmbeit3.errors import UserError, printable
from mmbeit3.images.decoding import DAMAGE, FORMATS, decode_image, stated_orientation, to_bgr, upright
from mmbeit3.images.depth import to_8_bits
from mmbeit3.images.errors import ImageError

__all__ = ["LARGEST_DOWNLOAD", "ImageInput", "read_image", "read_pixels", "refusal"]

ImageInput = str | Path | np.ndarray | Image.Image
"""What stands for an image: a path, an http(s) address, an array as OpenCV has it (BGR), or an image of PIL's."""

LARGEST_DOWNLOAD = 100_000_000
"""Bytes of an image at an address, at most."""

_LONGEST_NAME = 4096


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file: uint8 (H, W, 3), BGR, see :func:`~mmbeit3.images.decode_image`.

    Raises:
        UserError: if it cannot be read.
    """
    name = _shown(path)
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"'{name}' is a folder: give the path of one image")
        if path.exists() and not path.is_file():
            raise UserError(f"'{name}' is no file: give the path of an image")
        return decode_image(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"image '{name}' does not exist: give a JPEG or PNG file") from error
    except ImageError as error:
        raise refusal(name, error) from error
    except OSError as error:
        raise UserError(f"image '{name}' cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        # A path with a zero byte.
        raise UserError(f"'{name}' is no path of a file ({error}): give the path of an image") from error


def read_pixels(image: ImageInput) -> np.ndarray:
    """Get an image's pixels, turned upright where the file says how it was held.

    Args:
        image: a path; an ``http(s)://`` address; an array (H, W, 3), BGR, (H, W, 4), with transparency, which is dropped, or
            (H, W), grey, of a type that :func:`~mmbeit3.images.depth.to_8_bits` takes; or an image of PIL's. One of PIL's that
            is open and not yet loaded is decoded as its file is.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        UserError: if there is no image, or it cannot be read.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if not isinstance(image, str | Path):
        raise UserError(f"{type(image).__name__} is no image: give a path, an address, an array (BGR) or an image of PIL's")
    return _from_address(str(image)) if is_url(image) else read_image(image)


def refusal(name: str, error: ImageError) -> UserError:
    """What to say of an image file that cannot be decoded, wherever it comes from."""
    return UserError(f"image '{_shown(name)}' {printable(str(error), 300)}: give a JPEG or PNG file")


def _shown(name: str | Path) -> str:
    return printable(str(name), _LONGEST_NAME)


def _from_address(address: str) -> np.ndarray:
    data = fetch(address, LARGEST_DOWNLOAD)
    try:
        return decode_image(data)
    except ImageError as error:
        raise refusal(address, error) from error


def _from_array(image: np.ndarray) -> np.ndarray:
    what = f"an array of shape {image.shape} and type {image.dtype}"
    if not image.size or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))):
        raise UserError(f"{what} is no image: give (H, W, 3) in BGR order, (H, W, 4) or (H, W)")
    colours = image[..., None] if image.ndim == 2 else image[..., :3]
    try:
        pixels = to_8_bits(colours)
    except ImageError as error:
        raise UserError(f"{what} {error}: give uint8, 0 to 255") from error
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, 2))


def _from_pil(image: Image.Image) -> np.ndarray:
    try:
        data = _unread_file(image)
        if data is not None:
            return decode_image(data)
        image.load()
        return upright(to_bgr(image), stated_orientation(image))
    except ImageError as error:
        raise UserError(f"an image of PIL's {error}: give one that is whole") from error
    except DAMAGE as error:
        raise UserError(f"an image of PIL's is damaged ({printable(str(error), 300)}): give one that is whole") from error


def _unread_file(image: Image.Image) -> bytes | None:
    """The file of an image that PIL opened and has not loaded: decoded here, it has the pixels that its path has."""
    if not isinstance(image, ImageFile.ImageFile) or image.format not in (*FORMATS, "MPO") or image.tell():
        return None
    file = getattr(image, "fp", None)
    if file is None or not image.tile or isinstance(file, io.TextIOBase):
        return None
    place = file.tell()
    try:
        file.seek(0)
        return file.read()
    finally:
        file.seek(place)
