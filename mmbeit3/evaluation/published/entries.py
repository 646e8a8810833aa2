"""Choosing models of an index, and the datasets of their published scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mmbeit3.errors import UserError
from mmbeit3.zoo import Model

__all__ = ["choose", "published_on"]

_SPLIT_WORDS = {"test": ("test",), "val": ("val", "dev")}
"""Beginnings of the words by which datasets name a split, as in ``NLVR2 dev``."""


def published_on(model: Model, split: str) -> dict[str, str]:
    """Return the dataset to compare with for each metric: the last one that names the split, or else the last one.

    Args:
        model: a model with published scores.
        split: ``test`` or ``val``.
    """
    chosen = {}
    for metric, values in model.published.items():
        fitting = [name for name in values if any(word.startswith(_SPLIT_WORDS[split]) for word in re.findall(r"[\w-]+", name))]
        chosen[metric] = [*values, *fitting][-1]
    return chosen


def choose(models: Iterable[Model], patterns: Sequence[str]) -> list[Model]:
    """Return the models with the given names, in their order; without names, all that have weights and published scores.

    Args:
        models: entries of an index; those without a config are left out.
        patterns: names, or patterns such as ``*_ade20k*``.

    Raises:
        UserError: if a pattern matches no model, or no model is left.
    """
    models = [model for model in models if model.config]
    chosen = {model.name for model in models if not patterns and model.weights and model.results}
    for pattern in patterns:
        fitting = {model.name for model in models if fnmatchcase(model.name, pattern)}
        if not fitting:
            close = get_close_matches(pattern, [model.name for model in models], n=3, cutoff=0.4)
            raise UserError(f"the index has no model '{pattern}'" + (f": did you mean {', '.join(close)}?" if close else ""))
        chosen |= fitting
    if not chosen:
        raise UserError("the index has no model with weights and published scores: name the models to evaluate")
    return [model for model in models if model.name in chosen]
