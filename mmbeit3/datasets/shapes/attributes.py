"""Unambiguous attributes of things in a scene: colours and relative positions."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping

import numpy as np

from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["CLEAR_DISTANCE", "COLOURS", "colour_of", "find_relations", "offset"]

COLOURS = ("red", "yellow", "green", "cyan", "blue", "purple")
"""Names of the hues 0, 60, ..., 300 degrees."""

CLEAR_DISTANCE = 0.15
"""Smallest distance of two centres, in shares of the image's side, at which one is clearly left of or above the other."""
_CLEAR_HUE = 20
"""Largest distance in degrees from a named hue at which a colour has that name."""


def colour_of(scene: Scene, item: SceneObject) -> str | None:
    """Return one of :data:`COLOURS` by the hue of a thing's mean colour. None if the hue is between two of them."""
    red, green, blue = scene.image[item.mask].mean(axis=0) / 255
    spacing = 360 / len(COLOURS)
    steps = 360 * colorsys.rgb_to_hsv(red, green, blue)[0] / spacing
    nearest = round(steps)
    return COLOURS[nearest % len(COLOURS)] if abs(steps - nearest) * spacing <= _CLEAR_HUE else None


def find_relations(single: Mapping[str, SceneObject]) -> Iterator[tuple[str, str, str, bool]]:
    """Find the clear relative positions of things.

    Args:
        single: class to thing, for classes with exactly one thing.

    Yields:
        A class, ``left of`` or ``above``, another class, and True if the relation holds. If False, the opposite one holds.
    """
    for name, item in single.items():
        for other_name, other in single.items():
            for axis, relation in enumerate(("left of", "above")):
                distance = offset(item, other)[axis]
                if abs(distance) >= CLEAR_DISTANCE:
                    yield name, relation, other_name, bool(distance < 0)


def offset(item: SceneObject, other: SceneObject) -> np.ndarray:
    """Return the vector (x, y) from the centre of ``other`` to the centre of ``item``, in shares of the image's side."""
    y, x = (item.centre - other.centre) / item.mask.shape
    return np.array([x, y])
