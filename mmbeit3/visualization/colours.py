"""Colours of classes in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["Colours", "class_colours", "colours_for", "text_colour"]

Colours = Sequence[Sequence[int]] | np.ndarray
"""RGB colours from 0 to 255, one per class, such as ``metainfo["palette"]`` of a dataset."""

# Colours that people with colour blindness can tell apart: Okabe and Ito, "Color Universal Design", https://jfly.uni-koeln.de/color.
# Black is left out, because it cannot be seen in dark photographs. Neighbours in this order differ in hue and in lightness.
_FIRST = (
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 158, 115),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
)
_LEVELS = 18
"""Number of values per channel of the colours to choose from."""
_LIGHTNESS = (0.5, 0.93)
"""Range of the lightness in Oklab: darker and lighter colours cannot be seen in many photographs."""
_MIN_CHROMA = 0.1
"""Smallest distance from grey in Oklab."""
# Oklab, a colour space in which distances agree with what people see: Ottosson 2020, https://bottosson.github.io/posts/oklab.
_TO_CONES = np.array(
    [
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    ]
)
_TO_OKLAB = np.array(
    [
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    ]
)


def class_colours(count: int) -> np.ndarray:
    """Return well separated colours. The colour of a class depends on its index alone, not on the number of classes.

    The first seven differ also for people with colour blindness (Okabe and Ito). Each further colour is the one with the
    largest distance in Oklab from all colours before it. The colours repeat after some thousands.

    Args:
        count: number of classes.

    Returns:
        uint8 (count, 3), RGB.
    """
    known = len(_FIRST)
    while known < count:
        known *= 4
    colours = _separated(known)
    return colours[np.arange(count) % len(colours)]


def colours_for(colours: Colours | None, count: int) -> np.ndarray:
    """Return a colour for each class: those of a palette, and :func:`class_colours` for classes that it lacks.

    Args:
        colours: the palette; None if there is none.
        count: number of classes.

    Returns:
        uint8, at least (count, 3), RGB.
    """
    if colours is None or not len(colours):
        return class_colours(count)
    palette = np.asarray(colours, np.uint8).reshape(-1, 3)
    return np.concatenate([palette, class_colours(count)[len(palette) :]])


def text_colour(background: np.ndarray) -> tuple[int, int, int]:
    """Return black or white, whichever has more contrast with a background colour.

    The rule is the contrast ratio of WCAG 2.1, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio.
    """
    luminance = float(_linear(background) @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 0.05 * 1.05 else (255, 255, 255)


@lru_cache(maxsize=8)
def _separated(count: int) -> np.ndarray:
    """Return at most ``count`` colours: the first ones, then the one farthest from all before, again and again."""
    levels = np.linspace(0, 255, _LEVELS).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    oklab = _oklab(candidates)
    lightness, chroma = oklab[:, 0], np.hypot(oklab[:, 1], oklab[:, 2])
    usable = (lightness > _LIGHTNESS[0]) & (lightness < _LIGHTNESS[1]) & (chroma > _MIN_CHROMA)
    candidates, oklab = candidates[usable], oklab[usable]
    chosen = [np.array(colour, np.uint8) for colour in _FIRST]
    distance = np.linalg.norm(oklab[:, None] - _oklab(np.stack(chosen))[None], axis=2).min(1)
    while len(chosen) < count and distance.max() > 0:
        index = int(distance.argmax())
        chosen.append(candidates[index])
        distance = np.minimum(distance, np.linalg.norm(oklab - oklab[index], axis=1))
    return np.stack(chosen)


def _linear(colours: np.ndarray) -> np.ndarray:
    """Return linear light, 0 to 1, of sRGB values."""
    channels = np.asarray(colours, float) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _oklab(colours: np.ndarray) -> np.ndarray:
    """Return lightness and the two axes of colour (N, 3) of sRGB colours (N, 3)."""
    return np.cbrt(_linear(colours) @ _TO_CONES.T) @ _TO_OKLAB.T
