"""Image files as records: those of a folder, or those that a file lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmbeit3.datasets.annotations import read_json, read_lines
from mmbeit3.errors import UserError
from mmbeit3.images import IMAGE_SUFFIXES, walk_files
from mmbeit3.images.folders import is_image_name
from mmbeit3.pretrain.data.indexed import Indexed, checksum, read_image
from mmbeit3.pretrain.data.types import LazyRecord, Record, refuse_address

__all__ = ["LIST_SUFFIXES", "ImageFolder", "ImageList"]

LIST_SUFFIXES = (".txt", ".json")
"""Suffixes of files that list images, in lower case."""


class _ImageFiles(Indexed):
    """Image files by name. The key is the path relative to the folder.

    Args:
        folder: path of the folder that the names are relative to.
        names: paths relative to the folder.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.fingerprint = f"{len(names)}-{checksum(names):08x}"
        # One NumPy array: reading a list of strings changes their reference counts, so forked workers would copy its memory.
        self._names = np.array([os.fsencode(name) for name in names])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._names)

    def record_at(self, index: int) -> LazyRecord:
        """Return the image at an index in the order of the names, without reading it."""
        name = os.fsdecode(self._names[index])
        return LazyRecord(str(self.folder / name), name, partial(self._load, name))

    def _load(self, name: str) -> Record:
        return {"key": name, "image": read_image(self.folder / name)}


class ImageFolder(_ImageFiles):
    """All image files of a folder and its subfolders, found by suffix and sorted by name.

    Hidden files are skipped and links are followed, see :func:`~mmbeit3.images.walk_files`.

    Args:
        folder: path of the folder.

    Raises:
        UserError: if the folder does not exist or contains no image.
    """

    def __init__(self, folder: str | Path) -> None:
        refuse_address(str(folder))
        if not Path(folder).is_dir():
            raise UserError(f"image folder '{folder}' does not exist: check the path")
        names = sorted(name for name in walk_files(folder) if is_image_name(name.rpartition("/")[2]))
        if not names:
            raise UserError(f"no image ({', '.join(IMAGE_SUFFIXES)}) in '{folder}' or its subfolders: check the path")
        super().__init__(Path(folder), names)


class ImageList(_ImageFiles):
    """The images that a file lists, such as one split of a folder that holds several.

    Args:
        path: a ``.txt`` file with one path per line, blank lines aside, or a COCO ``.json`` file, whose ``images`` have a
            ``file_name``.
        folder: folder that the names are relative to; that of the file by default.

    Raises:
        UserError: if the file cannot be read, lists no image, or has another suffix; or if the folder does not exist.
    """

    def __init__(self, path: str | Path, folder: str | Path | None = None) -> None:
        path = Path(path)
        root = path.parent if folder is None else Path(folder)
        for given in (path, root):
            refuse_address(str(given))
        if not path.is_file():
            raise UserError(f"list of images '{path}' does not exist: check the path")
        if not root.is_dir():
            raise UserError(f"image folder '{root}' does not exist: check the path")
        names = _listed_names(path)
        if not names:
            raise UserError(f"list of images '{path}' has no image: check the file")
        super().__init__(root, names)


def _listed_names(path: Path) -> list[str]:
    if path.suffix.lower() == ".txt":
        return read_lines(path, "list of images", marked=True)
    if path.suffix.lower() != ".json":
        raise UserError(f"list of images '{path}': give a file that ends in {' or '.join(LIST_SUFFIXES)}")
    images = read_json(path).get("images")
    if not isinstance(images, list):
        raise UserError(f"list of images '{path}' is not a COCO file: it has no list 'images'")
    names: list[str] = []
    for number, image in enumerate(images, start=1):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"list of images '{path}': image number {number} has no 'file_name': add it")
        names.append(name)
    return names
