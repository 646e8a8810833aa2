"""Which storages are alive while something runs, without looking at what is in them: real tensors or fake ones."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Peak", "Tracker"]

_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.to.dtype)


@dataclass
class _Block:
    """A storage: its bytes, and what it is for."""

    bytes: int
    label: str


@dataclass(frozen=True)
class Peak:
    """The moment at which most was held.

    Attributes:
        total: bytes, each label's times its scale.
        parts: bytes by label at that moment, before scaling.
    """

    total: int
    parts: dict[str, int] = field(default_factory=dict)


class Tracker(TorchDispatchMode):
    """Follows every storage that operators return, from its first appearance to its release.

    Storages are labelled; :meth:`label` may be called after the fact, as a gradient is known as one only when it is there. What
    operators allocate inside and release before they return is not seen. Copies in another type of what is labelled
    ``parameters``, as autocast makes and keeps them, are labelled ``copies``, all else ``activations``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, _Block] = {}
        self._events: list[tuple[_Block, int]] = []

    def label(self, tensors: Iterable[Tensor], label: str) -> None:
        """Say what tensors are for; unknown ones count as alive from now on."""
        for tensor in tensors:
            self._meet(tensor, label).label = label

    def held(self) -> dict[str, int]:
        """Bytes that are alive now, by label."""
        totals: dict[str, int] = defaultdict(int)
        for block in self._alive.values():
            totals[block.label] += block.bytes
        return dict(totals)

    def peak(self, scales: Mapping[str, float] | None = None) -> Peak:
        """Find the moment of the largest total.

        Args:
            scales: what a byte of each label counts, 1 where none is given: 0 leaves a label out, 1/8 spreads it over 8 ranks.
        """
        scales = scales or {}
        parts: dict[str, int] = defaultdict(int)
        total, best = 0.0, Peak(0)
        for block, sign in self._events:
            parts[block.label] += sign * block.bytes
            total += sign * block.bytes * scales.get(block.label, 1.0)
            if total > best.total:
                best = Peak(int(total), dict(parts))
        return best

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note what it returned."""
        result = func(*args, **(kwargs or {}))
        label = "activations"
        if func in _COPIES and self._label_of(args[0]) == "parameters":
            label = "copies"
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._meet(leaf, label)
        return result

    def _label_of(self, tensor: Tensor) -> str | None:
        block = self._alive.get(tensor.untyped_storage()._cdata)
        return None if block is None else block.label

    def _meet(self, tensor: Tensor, label: str) -> _Block:
        storage = tensor.untyped_storage()
        block = self._alive.get(storage._cdata)
        if block is None:
            block = _Block(storage.nbytes(), label)
            self._alive[storage._cdata] = block
            self._events.append((block, 1))
            weakref.finalize(storage, self._release, storage._cdata).atexit = False
        return block

    def _release(self, address: int) -> None:
        self._events.append((self._alive.pop(address), -1))
