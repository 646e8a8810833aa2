"""Pictures to draw on: enlarged copies of images, and the sizes of lines and text in them."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["line_width", "new_canvas", "paste", "text_height"]

_MIN_TEXT = 12
"""Smallest size of names in pixels, before labels are made smaller because there are many."""


def new_canvas(image: np.ndarray, min_side: int) -> tuple[np.ndarray, int]:
    """Return a copy of an image, enlarged by a whole factor if its longer side has fewer than ``min_side`` pixels.

    Args:
        image: uint8 (H, W, 3), RGB.
        min_side: smallest longer side in pixels.

    Returns:
        uint8 (factor * H, factor * W, 3), and the factor.

    Raises:
        ValueError: if the image has another type or shape, or no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image is {image.dtype} {image.shape}: give uint8 (H, W, 3)")
    factor = max(1, -(-min_side // max(image.shape[:2])))
    if factor == 1:
        return np.array(image, order="C"), 1
    height, width = image.shape[:2]
    size = (factor * width, factor * height)
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_CUBIC), factor


def line_width(picture: np.ndarray) -> int:
    """Return the width of lines in pixels: 1 up to about 900 x 900 pixels."""
    return max(1, round(_side(picture) / 600))


def text_height(picture: np.ndarray) -> int:
    """Return the size of the font in pixels: 12 up to about 500 x 500 pixels."""
    return max(_MIN_TEXT, round(_side(picture) / 42))


def paste(picture: np.ndarray, part: np.ndarray, left: int, top: int) -> None:
    """Copy a part (h, w, 3) into a picture; what is outside of the picture is cut off."""
    h, w = picture[top : top + part.shape[0], left : left + part.shape[1]].shape[:2]
    picture[top : top + h, left : left + w] = part[:h, :w]


def _side(picture: np.ndarray) -> float:
    """Return the side of a square that is as large as the picture."""
    return float(np.sqrt(float(picture.shape[0]) * picture.shape[1]))
