"""Names in pictures: fonts that have their letters, and what stands for a name where there is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log

__all__ = ["find_font", "has_letters", "names_for_matplotlib", "names_for_opencv"]

_DEFAULT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def names_for_matplotlib(names: Sequence[str]) -> list[str]:
    """Names as matplotlib draws them, which mmdet's pictures are made by.

    Dollar signs are escaped, since matplotlib takes what stands between two for a formula. Where its own font lacks letters, an
    installed one that has them is added to its settings; where there is none, the name becomes its number.
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
    """Names as OpenCV draws them, which mmseg's pictures are made by: it has ASCII alone, other names become numbers."""
    return _numbered(names, {character for name in names for character in name if not character.isascii()})


def find_font(text: str) -> Path | None:
    """A font file that has all letters of a text, matplotlib's own first; None if none is installed that does."""
    # The font of last resort has a box for every letter.
    installed = {Path(font.fname) for font in font_manager.fontManager.ttflist if "Last Resort" not in font.name}
    others = sorted(installed - {_DEFAULT})
    return next((path for path in (_DEFAULT, *others) if has_letters(path, text)), None)


def has_letters(font: Path, text: str) -> bool:
    """Whether a font file has all letters of a text."""
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
    """Names, but for those with letters that are missing the number of the class."""
    numbers = {f"#{number}": name for number, name in enumerate(names) if missing & set(name)}
    if numbers:
        shown = ", ".join(f"{number} is {name}" for number, name in list(numbers.items())[:20])
        print_log(
            f"no font here has the letters of some names, which pictures show as numbers: {shown}", "current", logging.WARNING
        )
    return [f"#{number}" if missing & set(name) else name for number, name in enumerate(names)]
