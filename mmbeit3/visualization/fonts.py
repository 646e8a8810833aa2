"""Find fonts with the letters of a text."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

__all__ = ["find_font", "has_letters"]

_DEFAULT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def find_font(text: str) -> Path | None:
    """Return a font file with all letters of a text, preferably matplotlib's default; None if no installed font has them."""
    # "Last Resort" has a glyph for every letter, but it is only a box.
    installed = {Path(font.fname) for font in font_manager.fontManager.ttflist if "Last Resort" not in font.name}
    others = sorted(installed - {_DEFAULT})
    return next((path for path in (_DEFAULT, *others) if has_letters(path, text)), None)


def has_letters(font: Path, text: str) -> bool:
    """Return True if a font file has all letters of a text; white space does not count."""
    return {letter for letter in text if not letter.isspace()} <= _characters(font)


@lru_cache(maxsize=512)
def _characters(path: Path) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(str(path)).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
