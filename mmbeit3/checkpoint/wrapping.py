"""Prefixes that training programs add to all names of a model, e.g. DDP's ``module.`` or a Lightning module's attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

from mmbeit3.checkpoint.prefixes import FIRST_PARTS, split_by_prefix

__all__ = ["without_wrapper"]

_SHARE = 0.9
"""Smallest share of names that a wrapper's prefix must have. The others belong to losses and metrics beside the model."""

T = TypeVar("T")


def without_wrapper(state: Mapping[str, T], model_names: Collection[str] = ()) -> tuple[dict[str, T], list[str]]:
    """Remove the prefixes that a training program added, e.g. ``module.model.`` before ``vision.norm.weight``.

    A prefix counts as a wrapper if nearly all names have it and no network's names start with it.

    Args:
        state: names to tensors.
        model_names: names of the model that will be filled. The first parts of these names are not wrappers either.

    Returns:
        The state without wrappers, and the names that were dropped because they are outside the wrapper.
    """
    result = dict(state)
    dropped: list[str] = []
    known = FIRST_PARTS | {name.partition(".")[0] for name in model_names}
    while result:
        counts = Counter(name.partition(".")[0] for name in result if "." in name)
        first, count = counts.most_common(1)[0] if counts else ("", 0)
        if first in known or count < _SHARE * len(result):
            break
        inside, outside = split_by_prefix(result, f"{first}.")
        if not any("." in name for name in inside):
            # The prefix is the name of a single layer, not of a model.
            break
        dropped += outside
        result = inside
    return result, dropped
