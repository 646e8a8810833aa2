"""Pictures of predictions: images beside each other, and text below."""

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

_WIDEST = 1024
"""Of one image, in pixels."""
_LEAST_WIDTH = 320
"""Of a picture, so that lines hold some words."""
_GAP = 4
_MARGIN = 8
_FONT_SIZE = 16
_LINE_HEIGHT = 20


def draw_with_text(images: Sequence[np.ndarray], lines: Sequence[str], height: int = 384) -> np.ndarray:
    """Draw images in a row, and lines of text below them, black on white.

    Args:
        images: at least one, uint8 (H, W, 3), BGR.
        lines: the text; longer lines are wrapped. Letters that no installed font has become boxes.
        height: of the row in pixels. Very wide images become lower than that.

    Returns:
        uint8 (height + text, W', 3), RGB.
    """
    row = [_fitted(image, height) for image in images]
    width = max(_LEAST_WIDTH, sum(image.shape[1] + _GAP for image in row) - _GAP)
    # Of names that are not UTF-8.
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
    """Make a folder for pictures, if need be.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder '{path}' for pictures cannot be made: {error.strerror or error}") from error
    return Path(path)


def write_picture(folder: Path, number: int, name: str | None, picture: np.ndarray) -> None:
    """Write a picture as JPEG, its number and what it is called in its file's name.

    Args:
        folder: where to.
        number: of the prediction, from 0.
        name: path, address or text that it is of.
        picture: uint8 (H, W, 3), RGB.

    Raises:
        UserError: if it cannot be written.
    """
    called = re.sub(r"[^\w-]+", "_", Path(name).stem if name else "image")[:40]
    path = folder / f"{number:05d}_{called}.jpg"
    write_image(path, picture[..., ::-1])


def _fitted(image: np.ndarray, height: int) -> np.ndarray:
    h, w = image.shape[:2]
    scale = min(height / h, _WIDEST / w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _font(text: str) -> ImageFont.FreeTypeFont:
    """The font of letters of one width that comes with matplotlib, or one that has a text's letters where that lacks some."""
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    font = own if has_letters(own, text) else find_font(text) or own
    return ImageFont.truetype(str(font), _FONT_SIZE)
