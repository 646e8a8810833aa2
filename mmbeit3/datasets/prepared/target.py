"""The folder that a conversion writes. Each file is written atomically, so an existing file is complete."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import cv2
from rich.console import Console
from rich.progress import track

from mmbeit3.datasets.prepared.sources import Source, is_safe_name
from mmbeit3.errors import UserError
from mmbeit3.files import naming_target, write_atomically
from mmbeit3.images import ImageError, decode_image, encode_image

__all__ = ["JPEG_QUALITY", "Target", "decode", "progress"]

T = TypeVar("T")

JPEG_QUALITY = 92
"""Quality of images that are converted from PNG, 0 to 100. All copies get the same format, since configs read one suffix."""

_PARTS = ".parts"


class Target:
    """The folder of a converted data set.

    Args:
        root: the folder.

    Attributes:
        files: name to size in bytes of the files that belong to the data set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, int] = {}

    def write(self, name: str, make: Callable[[], bytes]) -> Path:
        """Write a file unless it exists.

        Args:
            name: path relative to the folder.
            make: returns the content; called only if the file does not exist.

        Raises:
            UserError: if it cannot be written.
        """
        path = self._path(name)
        if not path.is_file():
            write_atomically(path, make())
        self.files[name] = path.stat().st_size
        return path

    def copy(self, source: Source, name: str, target: str) -> Path:
        """Write a copy of a source's file, as a hard link if the file system supports it.

        Raises:
            UserError: if it cannot be read or written.
        """
        path, original = self._path(target), source.path(name)
        if original is not None and not path.is_file():
            with naming_target(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            # On another file system, or one without links, `write` copies the bytes.
            with suppress(OSError):
                os.link(original, path)
        return self.write(target, lambda: source.read(name))

    def copy_as_jpeg(self, source: Source, name: str, target: str) -> Path:
        """Write a copy of an image as JPEG of :data:`JPEG_QUALITY`; files that are JPEG already are copied.

        Raises:
            UserError: if it cannot be read, decoded or written.
        """
        if name.lower().endswith((".jpg", ".jpeg")):
            return self.copy(source, name, target)

        def make() -> bytes:
            pixels = decode(source, name)
            return encode_image(target, pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])

        return self.write(target, make)

    def part(self, key: str, make: Callable[[], Any]) -> Any:
        """Return a JSON value that is kept until the conversion is complete, so that an interrupted one continues."""
        path = self.root / _PARTS / f"{key}.json"
        if not path.is_file():
            write_atomically(path, json.dumps(make()).encode())
        return json.loads(path.read_bytes())

    def drop_parts(self) -> None:
        """Delete the values of :meth:`part`."""
        shutil.rmtree(self.root / _PARTS, ignore_errors=True)

    def _path(self, name: str) -> Path:
        if not is_safe_name(name):
            raise UserError(f"'{name}' is not a file name inside of '{self.root}': correct it in the annotations")
        return self.root / name


def decode(source: Source, name: str) -> Any:
    """Decode an image of a source, uint8 (H, W, 3), BGR.

    Raises:
        UserError: if it is damaged.
    """
    data = source.read(name)
    try:
        return decode_image(data)
    except ImageError as error:
        raise UserError(f"image '{name}' in '{source.label}' {error}: the copy is damaged, give another one") from error


def progress(items: Sequence[T], title: str) -> Iterator[T]:
    """Iterate with a progress bar on stderr; nothing is shown if that is not a terminal."""
    console = Console(file=sys.stderr)
    yield from track(items, title, console=console, disable=not console.is_terminal)
