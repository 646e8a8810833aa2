"""Prefixes that training programs put before all of a model's names: DDP's ``module.``, Lightning's attribute of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

__all__ = ["without_wrapper"]

_SHARE = 0.9
"""Of the names that have a wrapper's prefix; the others are of losses and metrics beside the model."""

_PARTS = frozenset(
    ("backbone", "beit3", "blocks", "embed", "encoder", "language", "layers", "mlm_head", "network", "vision", "vit")
)
"""How names of networks begin, ours and others', which are no wrappers."""

T = TypeVar("T")


def without_wrapper(state: Mapping[str, T], own: Collection[str] = ()) -> tuple[dict[str, T], list[str]]:
    """Take off what stands before the names of nearly all tensors, unless a network's names begin so.

    Args:
        state: names to tensors.
        own: names of the model that is to be filled, whose beginnings are no wrappers either.

    Returns:
        The state without wrappers, and the names that were left out because they stand outside of them.
    """
    result, dropped = dict(state), []
    parts = _PARTS | {name.partition(".")[0] for name in own}
    while result:
        counts = Counter(name.partition(".")[0] for name in result if "." in name)
        first, count = counts.most_common(1)[0] if counts else ("", 0)
        if first in parts or count < _SHARE * len(result):
            break
        prefix = f"{first}."
        dropped += [name for name in result if not name.startswith(prefix)]
        inner = {name.removeprefix(prefix): tensor for name, tensor in result.items() if name.startswith(prefix)}
        if not any("." in name for name in inner):
            # A single layer, and no model with parts.
            break
        result = inner
    return result, dropped
