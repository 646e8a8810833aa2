"""Sentences about scenes, for pretraining on pairs and texts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.render import Scene

__all__ = ["NUMBERS", "describe", "imagine", "plural"]

NUMBERS = ("no", "one", "two", "three", "four", "five")
_OPENINGS = ("{things} on {stuff}", "there are {things} in front of {stuff}", "a picture of {things} over {stuff}")
_PLURALS = {"cross": "crosses"}


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence that counts what is in a scene and names what is behind, largest first; a crowd is ``many``.

    Args:
        scene: what is seen.
        rng: chooses between ways to say it.
    """
    counts = Counter(item.name for item in scene.objects if not item.crowd)
    crowds = [f"many {plural(item.name)}" for item in scene.objects if item.crowd]
    shares = np.bincount(scene.stuff.ravel(), minlength=len(STUFF_CLASSES))
    stuff = [STUFF_CLASSES[index] for index in np.argsort(-shares) if shares[index]]
    return _sentence([*_counted(counts), *crowds], stuff, rng)


def imagine(rng: np.random.Generator) -> str:
    """A sentence about a scene that was never drawn."""
    counts = Counter(THING_CLASSES[index] for index in rng.integers(len(THING_CLASSES), size=rng.integers(1, 5)))
    stuff = [STUFF_CLASSES[index] for index in rng.permutation(len(STUFF_CLASSES))[: rng.integers(1, 3)]]
    return _sentence(_counted(counts), stuff, rng)


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{NUMBERS[number]} {name if number == 1 else plural(name)}" for name, number in counts.items()]


def plural(name: str) -> str:
    """The name of several things of a class."""
    return _PLURALS.get(name, f"{name}s")


def _sentence(things: list[str], stuff: list[str], rng: np.random.Generator) -> str:
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    return opening.format(things=_listed(things) or "nothing", stuff=_listed(stuff))


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
