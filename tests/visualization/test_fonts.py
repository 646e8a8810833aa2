"""Fonts for names of classes with letters of any script."""

from matplotlib.ft2font import FT2Font

from mmbeit3.visualization.drawing import class_colours
from mmbeit3.visualization.fonts import _DEFAULT, find_font, has_letters
from mmbeit3.visualization.text import class_name, render_text, text_size

UNKNOWN = chr(0x10FFFD)
"""A letter that no font has."""


def test_a_font_that_has_the_letters_is_used():
    own = set(FT2Font(str(_DEFAULT)).get_charmap())
    other = _DEFAULT.with_name("STIXGeneral.ttf")
    letter = chr(min(code for code in FT2Font(str(other)).get_charmap() if code not in own and code > 0x2000))
    assert find_font("naïve US$") == _DEFAULT
    font = find_font(f"a{letter}")
    assert font not in (None, _DEFAULT)
    assert has_letters(font, f"a {letter}")
    assert find_font(UNKNOWN) is find_font(f"a{UNKNOWN}") is None
    name = class_name(["a", f"a{letter}"], 1)
    assert name == f"a{letter}"
    # Without a font with the letter, the text would be as wide as another one with a missing letter.
    drawn = render_text(name, 30, class_colours(1)[0])
    assert drawn.shape[:2] == text_size(name, 30)[::-1]
    assert drawn.shape != render_text(f"a{UNKNOWN}", 30, class_colours(1)[0]).shape
