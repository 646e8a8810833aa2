"""Text in pictures: names of classes as labels, legends and titles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmbeit3.visualization.canvas import paste
from mmbeit3.visualization.colours import text_colour
from mmbeit3.visualization.fonts import find_font

__all__ = ["LegendEntry", "append_legend", "class_name", "render_text", "shorten", "text_size"]

_ELLIPSIS = "…"
_WHITE = np.full(3, 255, np.uint8)


@dataclass(frozen=True)
class LegendEntry:
    """A class in a legend.

    Attributes:
        name: name of the class.
        note: text after the name, such as a count.
        colour: uint8 (3,), RGB.
    """

    name: str
    note: str
    colour: np.ndarray

    @property
    def end(self) -> str:
        """What follows the name."""
        return f" {self.note}" if self.note else ""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.name + self.end


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class; its number after ``#`` if it has no name, or if no installed font has the letters.

    Args:
        classes: names of the classes; may be empty.
        label: index of the class.
    """
    if not 0 <= label < len(classes):
        return f"#{label}"
    # A label is one line. Names that were decoded badly contain surrogates, which cannot be drawn.
    name = " ".join(classes[label].encode("utf-8", "replace").decode().split())
    if not name:
        return f"#{label}"
    if _font_file(name) is None:
        _warn(name, label)
        return f"#{label}"
    return name


def text_size(text: str, size: int) -> tuple[int, int]:
    """Return width and height in pixels of a text with a margin around it.

    Args:
        text: one line.
        size: size of the font in pixels.
    """
    font = _font(text, size)
    ascent, descent = font.getmetrics()
    return int(np.ceil(font.getlength(text))) + 2 * _margin(size), ascent + descent


def shorten(text: str, size: int, width: int, end: str = "") -> str:
    """Return a text with an end, where the text is cut so that both fit into a width.

    Args:
        text: one line.
        size: size of the font in pixels.
        width: largest width in pixels, with the margin.
        end: text that is kept.
    """
    if text_size(text + end, size)[0] <= width:
        return text + end
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = text_size(text[:middle].rstrip() + _ELLIPSIS + end, size)[0] <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + _ELLIPSIS + end


def render_text(text: str, size: int, background: np.ndarray) -> np.ndarray:
    """Draw a text in black or white on a background.

    Args:
        text: one line.
        size: size of the font in pixels.
        background: RGB colour, uint8 (3,).

    Returns:
        uint8 (h, w, 3), RGB, of the size that :func:`text_size` returns.
    """
    picture = Image.new("RGB", text_size(text, size), tuple(map(int, background)))
    draw = ImageDraw.Draw(picture)
    draw.text((_margin(size), 0), text, fill=text_colour(background), font=_font(text, size))
    return np.asarray(picture)


def append_legend(
    picture: np.ndarray, entries: Sequence[LegendEntry], size: int, fixed: tuple[Sequence[str], int] | None = None
) -> np.ndarray:
    """Return a picture with a legend below it, black on white; entries that do not fit into a line go to the next one.

    Args:
        picture: uint8 (H, W, 3), RGB.
        entries: one per class.
        size: size of the font in pixels.
        fixed: names of all classes, and a number of lines: the legend has the height of one with all classes, but at most this
            number of lines, whatever the entries. Entries that do not fit are left out.

    Returns:
        uint8 (H + legend, W, 3), RGB; the picture itself if there are no entries and the height is not fixed.
    """
    if not entries and fixed is None:
        return picture
    margin, width = _margin(size), picture.shape[1]
    names, most = ([], None) if fixed is None else fixed
    every = [*entries, *(LegendEntry(class_name(names, label), "100.0%", np.zeros(3)) for label in range(len(names)))]
    # Fonts differ in height: a line is as high as its highest text.
    line = max((text_size(entry.text, size)[1] for entry in every), default=0)
    places = _lay_out(entries, size, line, width)
    lines = max((number for *_, number in places), default=-1) + 1
    if most is not None:
        lines = min(most, max((number for *_, number in _lay_out(every[len(entries) :], size, line, width)), default=-1) + 1)
    strip = np.full((margin + lines * (line + margin), width, 3), 255, np.uint8)
    inset = max(1, line // 8)
    for entry, (text, left, number) in zip(entries, places, strict=True):
        if number < lines:
            top = margin + number * (line + margin)
            strip[top + inset : top + line - inset, left + inset : left + line - inset] = entry.colour
            paste(strip, render_text(text, size, _WHITE), left + line, top)
    return np.concatenate([picture, strip])


def _lay_out(entries: Sequence[LegendEntry], size: int, line: int, width: int) -> list[tuple[str, int, int]]:
    """Return the text, the left side in pixels and the number of the line of each entry of a legend.

    Args:
        entries: the entries.
        size: size of the font in pixels.
        line: height of a line in pixels.
        width: width of the legend in pixels.
    """
    margin = _margin(size)
    places = []
    left, number = margin, 0
    for entry in entries:
        text = shorten(entry.name, size, max(width - line - 2 * margin, 1), entry.end)
        taken = line + text_size(text, size)[0] + margin
        if left > margin and left + taken > width:
            left, number = margin, number + 1
        places.append((text, left, number))
        left += taken
    return places


def _margin(size: int) -> int:
    return max(2, size // 4)


@lru_cache(maxsize=4096)
def _font_file(text: str) -> str | None:
    path = find_font(text)
    return None if path is None else str(path)


@lru_cache(maxsize=4096)
def _warn(name: str, label: int) -> None:
    """Log once that a name cannot be drawn."""
    logging.getLogger("mmbeit3").warning(
        "no installed font has all letters of class name '%s': pictures show #%d instead; install a font such as Noto Sans CJK",
        name,
        label,
    )


@lru_cache(maxsize=64)
def _open_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font with the letters of a text; letters that no font has are drawn as boxes of the default font."""
    return _open_font(_font_file(text) or _font_file("") or "", size)
