"""Names of classes in pictures: find fonts with their letters, and replace names that no font can draw by numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

__all__ = ["find_font", "has_letters", "names_for_matplotlib", "names_for_opencv"]

_DEFAULT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def names_for_matplotlib(names: Sequence[str]) -> list[str]:
    """Return names in a form that matplotlib can draw; mmdet draws pictures with matplotlib.

    Dollar signs are escaped, because matplotlib reads text between two of them as a formula. If the default font lacks letters,
    an installed font that has them is added to matplotlib's settings. If there is no such font, a number replaces the name.
    """
    wanted = {character for name in names for character in name}
    if missing := wanted - _characters(_DEFAULT):
        font = find_font("".join(sorted(missing)))
        if font is not None:
            families = [family for family in matplotlib.rcParams["font.sans-serif"] if family != _family(font)]
            matplotlib.rcParams["font.sans-serif"] = [*families[:1], _family(font), *families[1:]]
            missing = set()
    return [name.replace("$", r"\$") for name in _numbered(names, missing)]


def names_for_opencv(names: Sequence[str]) -> list[str]:
    """Return names in a form that OpenCV can draw; mmseg draws pictures with OpenCV.

    OpenCV supports only ASCII, so numbers replace names with other letters.
    """
    return _numbered(names, {character for name in names for character in name if not character.isascii()})


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


def _family(path: Path) -> str:
    return FT2Font(str(path)).family_name


def _numbered(names: Sequence[str], missing: set[str]) -> list[str]:
    """Return names with those that contain a missing letter replaced by ``#`` and the index of the class; log them."""
    numbers = {f"#{number}": name for number, name in enumerate(names) if missing & set(name)}
    if numbers:
        shown = ", ".join(f"{number} is {name}" for number, name in list(numbers.items())[:20])
        logging.getLogger("mmbeit3").warning(
            "no installed font has the letters of some names; pictures show numbers instead: %s", shown
        )
    return [f"#{number}" if missing & set(name) else name for number, name in enumerate(names)]
