"""Image arguments of the inferencers: one image, several, or a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbeit3.downloads import is_url
from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput, find_images

__all__ = ["ImagesInput", "is_folder", "list_images", "name_image"]

ImagesInput = ImageInput | Sequence[ImageInput]
"""One image, several images, or the path of a folder."""


def is_folder(images: Any) -> bool:
    """Return True if the argument is the path of a folder."""
    # Path.is_dir raises an error for names that are too long.
    return isinstance(images, str | Path) and not is_url(images) and os.path.isdir(images)  # noqa: PTH112


def list_images(images: ImagesInput) -> list[ImageInput]:
    """Return the images as a list; for a folder those that :func:`~mmbeit3.images.find_images` finds.

    Raises:
        UserError: if there are none.
    """
    if is_folder(images):
        return list(find_images(images))  # type: ignore[arg-type]
    listed: list[ImageInput] = list(images) if isinstance(images, list | tuple) else [images]  # type: ignore[list-item]
    if not listed:
        raise UserError("the list of images is empty: give at least one")
    return listed


def name_image(image: Any) -> str | None:
    """Return the path or URL of an image, or None for pixels."""
    return str(image) if isinstance(image, str | Path) else None
