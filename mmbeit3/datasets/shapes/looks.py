"""What can be said of things in a scene without doubt: their colours, and on which side of each other they are."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping

import numpy as np

from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["CLEAR_DISTANCE", "COLOURS", "colour_of", "offset", "sides"]

COLOURS = ("red", "yellow", "green", "cyan", "blue", "purple")
"""At hues of 0, 60, ... degrees."""

CLEAR_DISTANCE = 0.15
"""Centres that are closer, in shares of the image's side, are neither left nor right of each other, nor above or below."""
_CLEAR_HUE = 20
"""Within so many degrees a colour has its name; nothing is said of what lies between two."""


def colour_of(scene: Scene, item: SceneObject) -> str | None:
    """One of :data:`COLOURS`, by the hue of a thing's mean colour; None if that lies between two."""
    red, green, blue = scene.image[item.mask].mean(axis=0) / 255
    spacing = 360 / len(COLOURS)
    steps = 360 * colorsys.rgb_to_hsv(red, green, blue)[0] / spacing
    nearest = round(steps)
    return COLOURS[nearest % len(COLOURS)] if abs(steps - nearest) * spacing <= _CLEAR_HUE else None


def sides(single: Mapping[str, SceneObject]) -> Iterator[tuple[str, str, str, bool]]:
    """Where things are, seen from each other, wherever that is clear.

    Args:
        single: the things whose class has no other, by class.

    Yields:
        A class, ``left of`` or ``above``, another class, and whether that is so; if not, it is on the opposite side.
    """
    for name, item in single.items():
        for other, there in single.items():
            for axis, side in enumerate(("left of", "above")):
                distance = offset(item, there)[axis]
                if abs(distance) >= CLEAR_DISTANCE:
                    yield name, side, other, bool(distance < 0)


def offset(item: SceneObject, there: SceneObject) -> np.ndarray:
    """From the second one's centre to the first one's, (x, y), in shares of the image's side."""
    y, x = (item.centre - there.centre) / item.mask.shape
    return np.array([x, y])
