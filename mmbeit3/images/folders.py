"""Search for image files in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmbeit3.errors import UserError

__all__ = ["IMAGE_SUFFIXES", "find_images", "is_image_name", "walk_files"]

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
)
"""Suffixes of image files of the supported formats, in lower case. Upper case is accepted, too."""


def is_image_name(name: str) -> bool:
    """Return True if a file name has an image suffix and is not hidden. macOS writes hidden files such as ``._photo.jpg``."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  (Path is slow)


def walk_files(folder: str | Path) -> Iterator[str]:
    """Walk through the files of a folder and its subfolders. Hidden files and folders, which begin with a dot, are skipped.

    Links are followed. A folder that several paths lead to is visited once, so cycles of links are no problem. A broken link is
    listed as a file.

    Yields:
        Paths relative to the folder, with ``/`` as the separator, in no particular order.

    Raises:
        UserError: if a folder cannot be read.
    """
    root = os.fspath(folder)
    seen: set[tuple[int, int]] = set()
    # Linked folders come last, so that a file gets its path without links if it has one.
    folders, links = [""], list[str]()
    while folders or links:
        current = folders.pop() if folders else links.pop()
        path = os.path.join(root, current) if current else root  # noqa: PTH118
        try:
            status = os.stat(path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"folder '{path}' cannot be read: {error.strerror or error}") from error
        for entry in shown:
            name = f"{current}/{entry.name}" if current else entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(name)
            elif entry.is_symlink() or entry.is_file():
                yield name
        links.sort(reverse=True)


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files that :func:`walk_files` finds, by their suffixes, in alphabetical order.

    Raises:
        UserError: if the folder does not exist, cannot be read, or has no images.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises an error for names that are too long)
        raise UserError(f"folder '{folder}' does not exist: give a folder of images, or a list of paths")
    paths = sorted(Path(folder, name) for name in walk_files(folder) if is_image_name(name.rpartition("/")[2]))
    if not paths:
        raise UserError(f"folder '{folder}' has no images: add files that end in {', '.join(IMAGE_SUFFIXES)}")
    return paths


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that points to itself.
        return False
