"""Parts of error messages about lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

__all__ = ["first_difference"]


def first_difference(first: Sequence[str], second: Sequence[str]) -> tuple[int, str, str] | None:
    """Find where two lists differ.

    Returns:
        The index, and each list's item in quotes, or ``missing`` if that list is shorter. None if the lists are equal.
    """
    for index, pair in enumerate(zip_longest(first, second)):
        if pair[0] != pair[1]:
            left, right = ("missing" if item is None else f"'{item}'" for item in pair)
            return index, left, right
    return None
