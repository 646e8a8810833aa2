"""Inputs of predictions: images, lists, folders and videos, read one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmbeit3.downloads import is_url
from mmbeit3.errors import UserError, printable
from mmbeit3.images import ImageInput, find_images
from mmbeit3.inference.images import is_folder, name_image

__all__ = ["VIDEO_SUFFIXES", "Source", "Sources", "is_video", "list_sources"]

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
"""File name extensions of videos."""


@dataclass(frozen=True, eq=False)
class Source:
    """One image to predict.

    Attributes:
        image: the image as the user gave it, or the pixels of a frame, uint8 (H, W, 3), BGR.
        path: path or URL of the image or video; None for pixels.
        frame: number of the frame in a video, from 0; None for an image.
    """

    image: ImageInput
    path: str | None
    frame: int | None = None


@dataclass(frozen=True, eq=False)
class Sources:
    """Images to predict.

    Attributes:
        items: the images, which can be iterated once.
        count: number of images, if known. That of a video is an estimate.
        single: True if the user gave one image, not a list, folder or video.
        optional: True if images that cannot be read may be skipped, as in folders.
    """

    items: Iterator[Source]
    count: int | None
    single: bool = False
    optional: bool = False


def is_video(images: Any) -> bool:
    """Return True if the argument is a path with the extension of a video."""
    return isinstance(images, str | Path) and not is_url(images) and str(images).lower().endswith(VIDEO_SUFFIXES)


def list_sources(images: ImageInput | Sequence[ImageInput]) -> Sources:
    """List the images of an argument of ``predict``.

    Args:
        images: an image (path, URL, array in BGR order or PIL image), several, or the path of a folder or video.

    Raises:
        UserError: if there are no images, or a video cannot be read.
    """
    if is_folder(images):
        paths = find_images(images)  # type: ignore[arg-type]
        return Sources(map(_source, paths), len(paths), optional=True)
    if is_video(images):
        return _video(Path(images))  # type: ignore[arg-type]
    if not isinstance(images, list | tuple):
        return Sources(iter([_source(images)]), 1, single=True)  # type: ignore[arg-type]
    if not images:
        raise UserError("the list of images is empty: give at least one")
    for image in images:
        if is_video(image) or is_folder(image):
            raise UserError(f"'{image}' in the list is a folder or a video: give it alone, or list its images")
    return Sources(map(_source, images), len(images))


def _source(image: ImageInput) -> Source:
    return Source(image, name_image(image))


def _video(path: Path) -> Sources:
    name = printable(str(path), 4096)
    if not path.is_file():
        raise UserError(f"video '{name}' does not exist: check the path")
    capture = cv2.VideoCapture(os.fspath(path))
    read, first = capture.read() if capture.isOpened() else (False, None)
    if not read or first is None:
        capture.release()
        raise UserError(
            f"video '{name}' cannot be read: it is damaged, or OpenCV does not support its format; convert it, for example by "
            "`ffmpeg -i VIDEO -c:v libx264 video.mp4`"
        )
    return Sources(_frames(capture, first, str(path)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None)


def _frames(capture: cv2.VideoCapture, first: np.ndarray, path: str) -> Iterator[Source]:
    try:
        number, frame, read = 0, first, True
        while read:
            yield Source(frame, path, number)
            number += 1
            read, frame = capture.read()
    finally:
        capture.release()
