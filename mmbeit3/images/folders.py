"""Which files of a folder are images."""

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
"""What the names of image files end in, in small letters or capitals: those of the formats that are decoded."""


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as an image's. One that begins with a dot is hidden, as macOS's ``._photo.jpg``."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  (Path is slow)


def walk_files(folder: str | Path) -> Iterator[str]:
    """The files of a folder and the folders in it, but for hidden files and folders, whose names begin with a dot.

    Links are followed; a folder that several paths lead to is gone through once, so links may go round in circles. A link to
    a file that does not exist is listed.

    Yields:
        Paths from the folder, with ``/`` between the parts, in no particular order.

    Raises:
        UserError: if a folder cannot be read.
    """
    root = os.fspath(folder)
    seen: set[tuple[int, int]] = set()
    # Links come last: files are called by the path without links where there is one.
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
    """The image files that :func:`walk_files` finds, by the endings of their names, in alphabetical order.

    Raises:
        UserError: if there is no such folder, no image in it, or it cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  (Path's raises for names that are too long)
        raise UserError(f"folder '{folder}' does not exist: give a folder of images, or a list of paths")
    paths = sorted(Path(folder, name) for name in walk_files(folder) if is_image_name(name.rpartition("/")[2]))
    if not paths:
        raise UserError(f"folder '{folder}' has no images: none of its files ends in {', '.join(IMAGE_SUFFIXES)}")
    return paths


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False
