"""Whether a SentencePiece model is whole, without the library: cut copies of the released one are about."""

from __future__ import annotations

from pathlib import Path

from mmbeit3.errors import UserError

__all__ = ["check_sentencepiece"]

_NEEDED = {1, 2, 3}
"""Numbers of the outermost fields: pieces, the trainer's settings, the normalizer's, written in this order."""


def check_sentencepiece(path: Path) -> None:
    """Walk over the fields of the outermost protobuf message.

    Raises:
        UserError: if they don't fill the file, or some are missing.
    """
    content = path.read_bytes()
    at, fields = 0, set()
    try:
        while at < len(content):
            key, at = _varint(content, at)
            if key & 7 != 2:
                raise ValueError("a field is not of a model's")
            length, at = _varint(content, at)
            at += length
            fields.add(key >> 3)
        if at > len(content) or not fields >= _NEEDED:
            raise ValueError("it is cut short")
    except ValueError as error:
        raise UserError(f"'{path}' is no whole SentencePiece model ({error})") from error


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and where it ends."""
    value = shift = 0
    while at < len(content) and shift < 64:
        value |= (content[at] & 0x7F) << shift
        at += 1
        if content[at - 1] < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number has no end")
