"""The images that an inferencer is given: one, several, or those of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbeit3.downloads import is_url
from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput, find_images

__all__ = ["is_folder", "list_images", "name_image"]


def is_folder(images: Any) -> bool:
    """Whether an argument stands for the images of a folder."""
    # Path's is_dir raises for names that are too long.
    return isinstance(images, str | Path) and not is_url(images) and os.path.isdir(images)  # noqa: PTH112


def list_images(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """The images that one argument stands for: one, several, or those of a folder, see :func:`~mmbeit3.images.find_images`.

    Raises:
        UserError: if there is none.
    """
    if is_folder(images):
        return list(find_images(images))  # type: ignore[arg-type]
    listed: list[ImageInput] = list(images) if isinstance(images, list | tuple) else [images]  # type: ignore[list-item]
    if not listed:
        raise UserError("the list of images is empty: give at least one")
    return listed


def name_image(image: Any) -> str | None:
    """The path or address of an image that has one."""
    return str(image) if isinstance(image, str | Path) else None
