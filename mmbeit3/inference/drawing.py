"""Draw predictions: images in a row with text below, and write them as files."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmbeit3.errors import UserError
from mmbeit3.images import write_image
from mmbeit3.visualization.fonts import find_font, has_letters

__all__ = ["draw_with_text", "make_folder", "write_picture"]

_MAX_IMAGE_WIDTH = 1024
"""Largest width of one image in pixels."""
_MIN_WIDTH = 320
"""Smallest width of a picture in pixels, so that a line of text holds several words."""
_GAP = 4
_MARGIN = 8
_FONT_SIZE = 16
_LINE_HEIGHT = 20


def draw_with_text(images: Sequence[np.ndarray], lines: Sequence[str], height: int = 384) -> np.ndarray:
    """Draw images in a row, and lines of text below them, black on white.

    Args:
        images: at least one, uint8 (H, W, 3), BGR.
        lines: the text; long lines are wrapped. Letters that are in no installed font are drawn as boxes.
        height: height of the row in pixels. Images wider than 1024 pixels at this height are drawn smaller.

    Returns:
        uint8 (height + text, W', 3), RGB.
    """
    row = [_resize(image, height) for image in images]
    width = max(_MIN_WIDTH, sum(image.shape[1] + _GAP for image in row) - _GAP)
    # File names that are not UTF-8 contain surrogates, which cannot be drawn.
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    font = _font("".join(lines))
    per_line = int((width - 2 * _MARGIN) / font.getlength("m"))
    wrapped = [part for line in lines for part in textwrap.wrap(line, per_line) or [""]]
    sheet = np.full((height + 2 * _MARGIN + _LINE_HEIGHT * len(wrapped), width, 3), 255, np.uint8)
    left = 0
    for image in row:
        sheet[: image.shape[0], left : left + image.shape[1]] = image[..., ::-1]
        left += image.shape[1] + _GAP
    drawn = Image.fromarray(sheet)
    draw = ImageDraw.Draw(drawn)
    for number, line in enumerate(wrapped):
        draw.text((_MARGIN, height + _MARGIN + _LINE_HEIGHT * number), line, fill=(0, 0, 0), font=font)
    return np.asarray(drawn).copy()


def make_folder(path: str | Path) -> Path:
    """Create a folder for pictures if it does not exist.

    Raises:
        UserError: if it cannot be created.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder '{path}' for pictures cannot be created: {error.strerror or error}") from error
    return Path(path)


def write_picture(folder: Path, number: int, name: str | None, picture: np.ndarray) -> None:
    """Write a picture as JPEG; the file name consists of a number and a name.

    Args:
        folder: folder to write to.
        number: number of the prediction, from 0.
        name: path or URL of the image, or the text; None for an image without a name.
        picture: uint8 (H, W, 3), RGB.

    Raises:
        UserError: if it cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "_", Path(name).stem if name else "image")[:40]
    path = folder / f"{number:05d}_{stem}.jpg"
    write_image(path, picture[..., ::-1])


def _resize(image: np.ndarray, height: int) -> np.ndarray:
    h, w = image.shape[:2]
    scale = min(height / h, _MAX_IMAGE_WIDTH / w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _font(text: str) -> ImageFont.FreeTypeFont:
    """Return matplotlib's monospaced font, or an installed font that has all letters of the text if that one does not."""
    default = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    font = default if has_letters(default, text) else find_font(text) or default
    return ImageFont.truetype(str(font), _FONT_SIZE)
