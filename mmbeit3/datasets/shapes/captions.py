"""Captions of scenes, for pretraining on pairs and texts, captioning and retrieval."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmbeit3.datasets.shapes.attributes import COLOURS, colour_of, find_relations
from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.render import Scene

__all__ = ["NUMBERS", "describe", "plural", "random_caption"]

NUMBERS = ("no", "one", "two", "three", "four", "five")
_OPENINGS = ("{things} on {stuff}", "there are {things} in front of {stuff}", "a picture of {things} over {stuff}")
_PLURALS = {"cross": "crosses"}
_OPPOSITE = {"left of": "right of", "above": "below"}
_RELATION_RATE = 0.5
"""Share of captions that mention the relative position of two things, if there is a clear one."""

Kind = tuple[str | None, str]
"""A colour, or None if it is unclear, and a class."""


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """Write a caption that counts things by class and colour, and names the background regions, largest first.

    A crowd is counted as ``many``. The caption may give the relative position of two things that are the only ones of their
    classes.

    Args:
        scene: the scene.
        rng: generator that chooses the wording.
    """
    things = [item for item in scene.objects if not item.crowd]
    kinds = Counter((colour_of(scene, item), item.name) for item in things)
    crowds = [f"many {plural(item.name)}" for item in scene.objects if item.crowd]
    shares = np.bincount(scene.stuff.ravel(), minlength=len(STUFF_CLASSES))
    stuff = [STUFF_CLASSES[index] for index in np.argsort(-shares) if shares[index]]
    names = Counter(item.name for item in scene.objects)
    single = {item.name: item for item in things if names[item.name] == 1}
    positions = [_position(*relation) for relation in find_relations(single)]
    return _sentence([*_counted(kinds), *crowds], stuff, positions, rng)


def random_caption(rng: np.random.Generator) -> str:
    """Write a caption of a random scene without rendering it."""
    names = [THING_CLASSES[index] for index in rng.integers(len(THING_CLASSES), size=rng.integers(1, 5))]
    kinds = Counter[Kind]((COLOURS[rng.integers(len(COLOURS))], name) for name in names)
    stuff = [STUFF_CLASSES[index] for index in rng.permutation(len(STUFF_CLASSES))[: rng.integers(1, 3)]]
    single = [name for name, count in Counter(names).items() if count == 1]
    pairs = [(name, other) for name in single for other in single if name != other]
    positions = [_position(name, side, other, bool(rng.integers(2))) for name, other in pairs for side in _OPPOSITE]
    return _sentence(_counted(kinds), stuff, positions, rng)


def _position(name: str, relation: str, other: str, holds: bool) -> str:
    return f"the {name} {relation if holds else _OPPOSITE[relation]} the {other}"


def _counted(kinds: Counter[Kind]) -> list[str]:
    return [
        " ".join(filter(None, (NUMBERS[number], colour, name if number == 1 else plural(name))))
        for (colour, name), number in kinds.items()
    ]


def plural(name: str) -> str:
    """Return the plural of a class name."""
    return _PLURALS.get(name, f"{name}s")


def _sentence(things: list[str], stuff: list[str], positions: list[str], rng: np.random.Generator) -> str:
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    sentence = opening.format(things=_listed(things) or "nothing", stuff=_listed(stuff))
    if positions and rng.random() < _RELATION_RATE:
        sentence += f", {positions[rng.integers(len(positions))]}"
    return sentence


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
