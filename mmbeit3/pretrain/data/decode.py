"""Decoding of images, texts and JSON from bytes; every fault raises ``BadRecordError``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from mmbeit3 import images
from mmbeit3.images import ImageError
from mmbeit3.pretrain.data.types import BadRecordError

__all__ = ["decode_image", "decode_json", "decode_text", "text_of"]


def decode_image(data: bytes) -> np.ndarray:
    """Decode an image file by :func:`mmbeit3.images.decode_image`.

    Args:
        data: the file's bytes.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        BadRecordError: if the bytes are not an image, or the image is damaged or truncated.
    """
    try:
        return np.ascontiguousarray(images.decode_image(data)[..., ::-1])
    except ImageError as error:
        raise BadRecordError(f"image {error}") from error


def decode_text(data: bytes) -> str:
    """Decode UTF-8 and strip white space at both ends.

    Raises:
        BadRecordError: if the bytes are not UTF-8, contain zero bytes (as UTF-16 does), or the text is empty.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecordError(f"text is not UTF-8 ({error.reason} at byte {error.start})") from error
    return _clean(text)


def decode_json(data: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        BadRecordError: if the bytes are not UTF-8, not JSON, or not a JSON object.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadRecordError(f"invalid JSON ({error})") from error
    if not isinstance(value, dict):
        raise BadRecordError(f"JSON is a {type(value).__name__} instead of an object")
    return value


def text_of(value: dict[str, Any], names: Iterable[str] = ("text",)) -> str:
    """Return the text of a JSON object: the value of the first of ``names`` that the object contains.

    Raises:
        BadRecordError: if the object contains none of the names, or the value is not a string or is empty.
    """
    names = tuple(names)
    for name in names:
        if name in value:
            if not isinstance(value[name], str):
                raise BadRecordError(f"JSON key '{name}' is a {type(value[name]).__name__} instead of a string")
            return _clean(value[name])
    raise BadRecordError(f"JSON has no {' or '.join(repr(name) for name in names)}")


def _clean(text: str) -> str:
    text = text.removeprefix("\ufeff").strip()
    if "\0" in text:
        raise BadRecordError("text contains zero bytes: it is not UTF-8")
    if not text:
        raise BadRecordError("empty text")
    return text
