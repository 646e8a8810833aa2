"""SHA-256 of a download, kept beside it from its first use on, in the form of ``sha256sum``."""

from __future__ import annotations

import re
from pathlib import Path

from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically

__all__ = ["place_of_record", "read_record", "write_record"]


def place_of_record(path: Path) -> Path:
    """The file that holds the hash."""
    return path.with_name(f".{path.name}.sha256")


def read_record(path: Path) -> str | None:
    """The SHA-256 that was recorded for a file, or None.

    Raises:
        UserError: if there is a record that says nothing.
    """
    place = place_of_record(path)
    if not place.is_file():
        return None
    match = re.match(rb"([0-9a-f]{64})\s", place.read_bytes())
    if match is None:
        raise UserError(f"'{place}' holds no SHA-256: delete it and '{path.name}' beside it, and download again")
    return match[1].decode()


def write_record(path: Path, digest: str) -> None:
    """Record a file's SHA-256.

    Raises:
        UserError: if it cannot be written.
    """
    write_atomically(place_of_record(path), f"{digest}  {path.name}\n".encode())
