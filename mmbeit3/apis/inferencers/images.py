"""Images as users have them: files, folders, addresses, arrays and PIL's."""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import urlopen

import cv2
import numpy as np
from PIL import Image, ImageOps
from torchvision.datasets.folder import IMG_EXTENSIONS

from mmbeit3.apis.inference import read_image
from mmbeit3.errors import UserError

__all__ = ["ImageInput", "list_folder", "list_images", "name_image", "read_pixels"]

ImageInput = str | Path | np.ndarray | Image.Image
"""What stands for an image: a path, an http(s) address, an array as OpenCV has it (BGR), or an image of PIL's."""

_TIMEOUT = 30
"""Seconds without a sign of life after which a download is given up."""


def read_pixels(image: ImageInput) -> np.ndarray:
    """Get an image's pixels, turned upright where the file says how it was held.

    Args:
        image: a path, an ``http(s)://`` address, an array, uint8 (H, W, 3), BGR, or (H, W), grey, or an image of PIL's.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        UserError: if there is no image, or it cannot be read.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if not isinstance(image, str | Path):
        raise UserError(f"{type(image).__name__} is no image: give a path, an address, an array (BGR) or an image of PIL's")
    return _download(str(image)) if _is_address(image) else read_image(image)


def list_images(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """The images that one argument stands for: one, several, or those of a folder.

    Raises:
        UserError: if there is none.
    """
    if isinstance(images, str | Path) and not _is_address(images) and Path(images).is_dir():
        return list(list_folder(images))
    listed: list[ImageInput] = list(images) if isinstance(images, list | tuple) else [images]  # type: ignore[list-item]
    if not listed:
        raise UserError("the list of images is empty: give at least one")
    return listed


def list_folder(folder: str | Path) -> list[Path]:
    """All image files of a folder and the folders in it, by their names' endings, in alphabetical order.

    Raises:
        UserError: if it is no folder, or there is no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder '{folder}' does not exist: give a folder of images, or a list of paths")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
    if not paths:
        raise UserError(f"folder '{folder}' has no images: none of its files ends in {', '.join(IMG_EXTENSIONS)}")
    return paths


def name_image(image: Any) -> str | None:
    """The path or address of an image that has one."""
    return str(image) if isinstance(image, str | Path) else None


def _is_address(image: str | Path) -> bool:
    return isinstance(image, str) and urlparse(image).scheme in ("http", "https")


def _download(address: str) -> np.ndarray:
    try:
        with urlopen(address, timeout=_TIMEOUT) as answer:
            content = np.frombuffer(answer.read(), np.uint8)
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(f"image '{address}' cannot be downloaded ({error}): fetch it by hand and give its path") from error
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if pixels is None:
        raise UserError(f"image '{address}' is no image or is damaged: give the address of a JPEG or PNG file")
    return pixels


def _from_array(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or not image.size or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise UserError(
            f"an array of shape {image.shape} and type {image.dtype} is no image: give uint8, (H, W, 3) in BGR order or (H, W)"
        )
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def _from_pil(image: Image.Image) -> np.ndarray:
    try:
        # As OpenCV does with files.
        upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"an image of PIL's cannot be read ({error}): its file is damaged") from error
    return cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)
