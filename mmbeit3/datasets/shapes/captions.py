"""Sentences about scenes, for pretraining on pairs and texts, captioning and retrieval."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.looks import COLOURS, colour_of, sides
from mmbeit3.datasets.shapes.render import Scene

__all__ = ["NUMBERS", "describe", "imagine", "plural"]

NUMBERS = ("no", "one", "two", "three", "four", "five")
_OPENINGS = ("{things} on {stuff}", "there are {things} in front of {stuff}", "a picture of {things} over {stuff}")
_PLURALS = {"cross": "crosses"}
_OPPOSITE = {"left of": "right of", "above": "below"}
_PLACED = 0.5
"""In how many sentences it is said where two things are, if it can be."""

Kind = tuple[str | None, str]
"""A colour, if it is clear, and a class."""


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence that counts what is in a scene by class and colour, and names what is behind, largest first.

    A crowd is ``many``. Of two things that are the only ones of their classes it may say where the one is, seen from the other.

    Args:
        scene: what is seen.
        rng: chooses between ways to say it.
    """
    things = [item for item in scene.objects if not item.crowd]
    kinds = Counter((colour_of(scene, item), item.name) for item in things)
    crowds = [f"many {plural(item.name)}" for item in scene.objects if item.crowd]
    shares = np.bincount(scene.stuff.ravel(), minlength=len(STUFF_CLASSES))
    stuff = [STUFF_CLASSES[index] for index in np.argsort(-shares) if shares[index]]
    names = Counter(item.name for item in scene.objects)
    single = {item.name: item for item in things if names[item.name] == 1}
    places = [_place(name, side, other, so) for name, side, other, so in sides(single)]
    return _sentence([*_counted(kinds), *crowds], stuff, places, rng)


def imagine(rng: np.random.Generator) -> str:
    """A sentence about a scene that was never drawn."""
    names = [THING_CLASSES[index] for index in rng.integers(len(THING_CLASSES), size=rng.integers(1, 5))]
    kinds = Counter[Kind]((COLOURS[rng.integers(len(COLOURS))], name) for name in names)
    stuff = [STUFF_CLASSES[index] for index in rng.permutation(len(STUFF_CLASSES))[: rng.integers(1, 3)]]
    single = [name for name, count in Counter(names).items() if count == 1]
    pairs = [(name, other) for name in single for other in single if name != other]
    places = [_place(name, side, other, bool(rng.integers(2))) for name, other in pairs for side in _OPPOSITE]
    return _sentence(_counted(kinds), stuff, places, rng)


def _place(name: str, side: str, other: str, so: bool) -> str:
    return f"the {name} {side if so else _OPPOSITE[side]} the {other}"


def _counted(kinds: Counter[Kind]) -> list[str]:
    return [
        " ".join(filter(None, (NUMBERS[number], colour, name if number == 1 else plural(name))))
        for (colour, name), number in kinds.items()
    ]


def plural(name: str) -> str:
    """The name of several things of a class."""
    return _PLURALS.get(name, f"{name}s")


def _sentence(things: list[str], stuff: list[str], places: list[str], rng: np.random.Generator) -> str:
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    sentence = opening.format(things=_listed(things) or "nothing", stuff=_listed(stuff))
    if places and rng.random() < _PLACED:
        sentence += f", {places[rng.integers(len(places))]}"
    return sentence


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
