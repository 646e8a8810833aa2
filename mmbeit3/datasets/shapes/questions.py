"""Questions about scenes with answers, and true and false statements about two scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmbeit3.datasets.shapes.attributes import CLEAR_DISTANCE, COLOURS, colour_of, find_relations, offset
from mmbeit3.datasets.shapes.captions import NUMBERS, plural
from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["BalancedChooser", "count_things", "make_questions", "make_statements"]

Pair = tuple[str, str]
"""A question and its answer, or a statement and ``True`` or ``False``."""


class BalancedChooser:
    """Chooser of questions or statements that keeps the answers balanced, so that a question alone does not give its answer.

    Within a kind it takes the pair that was chosen least often. It skips a pair if its answer already makes up more than half
    of the times that its question was chosen.

    Args:
        rng: generator that breaks ties and chooses kinds.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._question_counts: Counter[str] = Counter()
        self._pair_counts: Counter[Pair] = Counter()

    def choose(self, offers: Mapping[str, Sequence[Pair]], number: int) -> Iterator[tuple[str, str, str]]:
        """Choose one pair from each of several random kinds.

        Args:
            offers: kind to pairs, from :func:`make_questions` or :func:`make_statements`.
            number: largest number of kinds.

        Yields:
            Kind, question or statement, and answer.
        """
        usable = {kind: [pair for pair in pairs if not self._is_too_common(pair)] for kind, pairs in offers.items()}
        kinds = [kind for kind, pairs in usable.items() if pairs]
        for index in self.rng.permutation(len(kinds))[:number]:
            pairs = usable[kinds[index]]
            # min returns the first of equal items, so the random order breaks ties.
            pick = min((pairs[i] for i in self.rng.permutation(len(pairs))), key=self._pair_counts.__getitem__)
            self._question_counts[pick[0]] += 1
            self._pair_counts[pick] += 1
            yield kinds[index], *pick

    def _is_too_common(self, pair: Pair) -> bool:
        return self._pair_counts[pair] > self._question_counts[pair[0]] / 2


def make_questions(scene: Scene) -> dict[str, list[Pair]]:
    """Return all questions about a scene that have one clear answer: kind to pairs.

    With a crowd of circles there are no questions about circles, and none about what is next to a thing. There are no questions
    about unclear colours. Answers are words, digits, ``yes`` and ``no``.
    """
    counts = count_things(scene)
    things = [item for item in scene.objects if item.name in counts]
    single = {item.name: item for item in things if counts[item.name] == 1}
    stuff = np.unique(scene.stuff)
    return {
        "how many": [(f"how many {plural(name)} are there", str(count)) for name, count in counts.items()],
        "how many of a colour": list(_coloured(scene, things)),
        "is there": [(f"is there a {name}", "yes" if count else "no") for name, count in counts.items()],
        "where": [
            (f"is the {name} {relation} the {other}", "yes" if holds else "no")
            for name, relation, other, holds in find_relations(single)
        ],
        "what": list(_neighbours(single, things)) if len(things) == len(scene.objects) else [],
        "what colour": [
            (f"what colour is the {name}", colour) for name, item in single.items() if (colour := colour_of(scene, item))
        ],
        "what is behind": [("what is behind", STUFF_CLASSES[stuff[0]])] if len(stuff) == 1 else [],
    }


def make_statements(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, list[Pair]]:
    """Return true and false statements about two images: kind to pairs.

    Args:
        left, right: numbers of things from :func:`count_things`. Classes that are not in both are left out.
    """
    offers: dict[str, list[Pair]] = {"has": [], "each": [], "only one": [], "more": [], "in all": []}
    for name in (name for name in left if name in right):
        a, b, names = left[name], right[name], plural(name)
        offers["has"] += [(f"the left image has a {name}", str(a > 0)), (f"the right image has a {name}", str(b > 0))]
        offers["each"].append((f"each image has a {name}", str(a > 0 and b > 0)))
        offers["only one"].append((f"only one image has a {name}", str((a > 0) != (b > 0))))
        if a + b:
            offers["more"] += [
                (f"there are more {names} in the left image than in the right one", str(a > b)),
                (f"there are more {names} in the right image than in the left one", str(b > a)),
            ]
            offers["in all"] += [
                (_in_all(name, number), str(number == a + b))
                for number in range(max(a + b - 1, 1), min(a + b + 2, len(NUMBERS)))
            ]
    return offers


def count_things(scene: Scene) -> dict[str, int]:
    """Count the things of each class, including 0. A class that has a crowd is left out."""
    crowded = {item.name for item in scene.objects if item.crowd}
    counts = Counter(item.name for item in scene.objects)
    return {name: counts[name] for name in THING_CLASSES if name not in crowded}


def _in_all(name: str, number: int) -> str:
    things = f"is {NUMBERS[number]} {name}" if number == 1 else f"are {NUMBERS[number]} {plural(name)}"
    return f"there {things} in all"


def _coloured(scene: Scene, things: Sequence[SceneObject]) -> Iterator[Pair]:
    """Yield questions for the number of things of a class in a colour, if all things of the class have clear colours."""
    for name in dict.fromkeys(item.name for item in things):
        colours = [colour_of(scene, item) for item in things if item.name == name]
        if None not in colours:
            for colour in COLOURS:
                yield f"how many {colour} {plural(name)} are there", str(colours.count(colour))


def _neighbours(single: Mapping[str, SceneObject], things: Sequence[SceneObject]) -> Iterator[Pair]:
    """Yield questions for the only thing on one side of another thing, if every other thing is clearly on one side."""
    for name, reference in single.items():
        others = [item for item in things if item is not reference]
        for axis, (before, behind) in enumerate((("left of", "right of"), ("above", "below"))):
            distances = [offset(item, reference)[axis] for item in others]
            if all(abs(distance) >= CLEAR_DISTANCE for distance in distances):
                for side, sign in ((before, -1), (behind, 1)):
                    found = [item for item, distance in zip(others, distances, strict=True) if sign * distance > 0]
                    if len(found) == 1:
                        yield f"what is {side} the {name}", found[0].name
