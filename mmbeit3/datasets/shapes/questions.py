"""Questions about scenes with their answers, and statements about two scenes that are true or false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmbeit3.datasets.shapes.captions import NUMBERS, plural
from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.looks import CLEAR_DISTANCE, COLOURS, colour_of, offset, sides
from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["Chooser", "ask", "count_things", "state"]

Said = tuple[str, str]
"""What is asked, and the answer; or what is stated, and ``True`` or ``False``."""


class Chooser:
    """Chooses what to ask or to state so that no answer to a question is the usual one.

    From each kind it takes what was said least before. Nothing is taken that was already said in more than half of the cases
    in which its question was asked.

    Args:
        rng: breaks ties, and chooses kinds.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._asked: Counter[str] = Counter()
        self._said: Counter[Said] = Counter()

    def choose(self, offers: Mapping[str, Sequence[Said]], number: int) -> Iterator[tuple[str, str, str]]:
        """Choose from as many kinds; fewer, if there are not so many.

        Args:
            offers: by kind, from :func:`ask` or :func:`state`.
            number: how many to choose.

        Yields:
            Kind, question or statement, and answer.
        """
        usable = {kind: [said for said in offered if not self._is_usual(said)] for kind, offered in offers.items()}
        kinds = [kind for kind, offered in usable.items() if offered]
        for index in self.rng.permutation(len(kinds))[:number]:
            offered = usable[kinds[index]]
            pick = min((offered[place] for place in self.rng.permutation(len(offered))), key=self._said.__getitem__)
            self._asked[pick[0]] += 1
            self._said[pick] += 1
            yield kinds[index], *pick

    def _is_usual(self, said: Said) -> bool:
        return self._said[said] > self._asked[said[0]] / 2


def ask(scene: Scene) -> dict[str, list[Said]]:
    """All questions that have one clear answer, by kind.

    Nobody is asked about circles where there is a crowd of them, or what is beside something then, nor about a colour between
    two. Answers are words, digits, ``yes`` and ``no``.
    """
    counts = count_things(scene)
    things = [item for item in scene.objects if item.name in counts]
    single = {item.name: item for item in things if counts[item.name] == 1}
    stuff = np.unique(scene.stuff)
    return {
        "how many": [(f"how many {plural(name)} are there", str(count)) for name, count in counts.items()],
        "how many of a colour": list(_coloured(scene, things)),
        "is there": [(f"is there a {name}", "yes" if count else "no") for name, count in counts.items()],
        "where": [(f"is the {name} {side} the {other}", "yes" if so else "no") for name, side, other, so in sides(single)],
        "what": list(_neighbours(single, things)) if len(things) == len(scene.objects) else [],
        "what colour": [
            (f"what colour is the {name}", colour) for name, item in single.items() if (colour := colour_of(scene, item))
        ],
        "what is behind": [("what is behind", STUFF_CLASSES[stuff[0]])] if len(stuff) == 1 else [],
    }


def state(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, list[Said]]:
    """Statements about two images, true and false ones, by kind.

    Args:
        left, right: numbers of things, by :func:`count_things`; nothing is said of a class that is not in both.
    """
    offers: dict[str, list[Said]] = {"has": [], "each": [], "only one": [], "more": [], "in all": []}
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
    """How many there are of each class, 0 too; of one that comes as a crowd nothing is said."""
    crowded = {item.name for item in scene.objects if item.crowd}
    counts = Counter(item.name for item in scene.objects)
    return {name: counts[name] for name in THING_CLASSES if name not in crowded}


def _in_all(name: str, number: int) -> str:
    things = f"is {NUMBERS[number]} {name}" if number == 1 else f"are {NUMBERS[number]} {plural(name)}"
    return f"there {things} in all"


def _coloured(scene: Scene, things: Sequence[SceneObject]) -> Iterator[Said]:
    """Counts of a class in a colour, where all of the class have clear ones."""
    for name in dict.fromkeys(item.name for item in things):
        colours = [colour_of(scene, item) for item in things if item.name == name]
        if None not in colours:
            for colour in COLOURS:
                yield f"how many {colour} {plural(name)} are there", str(colours.count(colour))


def _neighbours(single: Mapping[str, SceneObject], things: Sequence[SceneObject]) -> Iterator[Said]:
    """What alone is on a side of a thing, where nothing is about as far left, or as high."""
    for name, there in single.items():
        others = [item for item in things if item is not there]
        for axis, (before, behind) in enumerate((("left of", "right of"), ("above", "below"))):
            distances = [offset(item, there)[axis] for item in others]
            if all(abs(distance) >= CLEAR_DISTANCE for distance in distances):
                for side, sign in ((before, -1), (behind, 1)):
                    found = [item for item, distance in zip(others, distances, strict=True) if sign * distance > 0]
                    if len(found) == 1:
                        yield f"what is {side} the {name}", found[0].name
