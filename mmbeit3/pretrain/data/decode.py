"""From bytes to images and texts, with one kind of error for all that can be wrong with them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmbeit3.pretrain.data.types import BadRecordError

__all__ = ["IMAGE_SUFFIXES", "decode_image", "decode_json", "decode_text", "text_of"]

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")

_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def decode_image(data: bytes) -> np.ndarray:
    """Decode a JPEG, PNG or WebP, turned upright as its EXIF says; transparency is dropped, 16 bits are cut to 8.

    Pillow and not OpenCV, which hands over a truncated JPEG as if it were whole.

    Args:
        data: the file's bytes.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        BadRecordError: if it is none of the three, broken, truncated, or so large that Pillow suspects an attack.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise BadRecordError("image is no JPEG, PNG or WebP, or broken at its beginning") from error
    except _DECODER_ERRORS as error:
        raise BadRecordError(f"image cannot be decoded ({error})") from error


def decode_text(data: bytes) -> str:
    """Decode UTF-8 and strip white space around it.

    Raises:
        BadRecordError: if it is not UTF-8, has zero bytes as UTF-16 would, or is empty.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecordError(f"text is not UTF-8 ({error.reason} at byte {error.start})") from error
    return _clean(text)


def decode_json(data: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        BadRecordError: if it is not UTF-8, no JSON, or no object.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadRecordError(f"invalid JSON ({error})") from error
    if not isinstance(value, dict):
        raise BadRecordError(f"JSON is a {type(value).__name__}, not an object")
    return value


def text_of(value: dict[str, Any], names: Iterable[str] = ("text",)) -> str:
    """The text of a JSON object under the first of the names that it has.

    Raises:
        BadRecordError: if it has none of them, or it is no string, or empty.
    """
    names = tuple(names)
    for name in names:
        if name in value:
            if not isinstance(value[name], str):
                raise BadRecordError(f"JSON's '{name}' is a {type(value[name]).__name__}, not a string")
            return _clean(value[name])
    raise BadRecordError(f"JSON has no {' or '.join(repr(name) for name in names)}")


def _clean(text: str) -> str:
    text = text.removeprefix("\ufeff").strip()
    if "\0" in text:
        raise BadRecordError("text has zero bytes: not UTF-8")
    if not text:
        raise BadRecordError("empty text")
    return text
