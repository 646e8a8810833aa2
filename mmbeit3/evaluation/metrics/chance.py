"""What guessing scores: what a model's scores stand beside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import comb
from typing import TypeVar

__all__ = ["most_frequent", "most_frequent_of", "random_recall"]

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer", bound=Hashable)


def most_frequent(answers: Iterable[Answer]) -> Answer:
    """The answer that comes most often; of equals the first."""
    return Counter(answers).most_common(1)[0][0]


def most_frequent_of(answered: Iterable[tuple[Key, Answer]]) -> Mapping[Key, Answer]:
    """The most frequent answer to each question, which is the best that can be said without looking at the image.

    Args:
        answered: questions with their answers, of training.
    """
    by_key: defaultdict[Key, list[Answer]] = defaultdict(list)
    for key, answer in answered:
        by_key[key].append(answer)
    return {key: most_frequent(answers) for key, answers in by_key.items()}


def random_recall(right: Sequence[int], candidates: int, topk: Sequence[int]) -> list[float]:
    """Expected recall (in percent) at each k, if candidates are ranked at random.

    Args:
        right: for each query, how many of the candidates are right.
        candidates: how many there are.
        topk: values of k.
    """
    return [
        100
        * sum(1 - comb(candidates - own, min(k, candidates)) / comb(candidates, min(k, candidates)) for own in right)
        / len(right)
        for k in topk
    ]
