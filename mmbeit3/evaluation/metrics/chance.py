"""Scores of guessing, as baselines for the scores of a model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import comb
from typing import TypeVar

__all__ = ["most_frequent", "most_frequent_of", "random_recall"]

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer", bound=Hashable)


def most_frequent(answers: Iterable[Answer]) -> Answer:
    """Return the most frequent answer; the first one if several are equally frequent."""
    return Counter(answers).most_common(1)[0][0]


def most_frequent_of(answered: Iterable[tuple[Key, Answer]]) -> Mapping[Key, Answer]:
    """Return the most frequent answer to each question: the best guess without the image.

    Args:
        answered: pairs of question and answer from the training data.
    """
    by_key: defaultdict[Key, list[Answer]] = defaultdict(list)
    for key, answer in answered:
        by_key[key].append(answer)
    return {key: most_frequent(answers) for key, answers in by_key.items()}


def random_recall(right: Sequence[int], candidates: int, topk: Sequence[int]) -> list[float]:
    """Return the expected recall (in percent) at each k if candidates are ranked at random.

    Args:
        right: number of right candidates of each query.
        candidates: number of candidates.
        topk: values of k.
    """
    return [
        100
        * sum(1 - comb(candidates - count, min(k, candidates)) / comb(candidates, min(k, candidates)) for count in right)
        / len(right)
        for k in topk
    ]
