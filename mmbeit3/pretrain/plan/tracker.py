"""A tracker of live tensor storages during a call, for real and fake tensors.

PyTorch's own ``torch.distributed._tools.mem_tracker.MemTracker`` cannot replace it: it fails on frozen parameters (the image
tokenizer), has no label for autocast's copies of weights, and keeps only one unweighted peak, while a plan weights labels after
the run (gradients by 1 / ranks, gathered weights by 0), which moves the peak to another moment. ``FSDP2MemTracker`` builds on
it.
"""

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
    """A storage: its size in bytes and its label."""

    bytes: int
    label: str


@dataclass(frozen=True)
class Peak:
    """The moment of the largest total.

    Attributes:
        total: sum over labels of bytes times scale.
        parts: bytes by label at that moment, before scaling.
    """

    total: int
    parts: dict[str, int] = field(default_factory=dict)


class Tracker(TorchDispatchMode):
    """Tracks every storage that operators return, from its first appearance to its release.

    Each storage has a label. :meth:`label` can be called after the run, since a gradient is known to be one only when it
    exists. Memory that an operator allocates and releases internally is not seen. Copies of ``parameters`` in another dtype,
    which autocast makes and keeps, are labelled ``copies``; all other new storages are labelled ``activations``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, _Block] = {}
        self._events: list[tuple[_Block, int]] = []

    def label(self, tensors: Iterable[Tensor], label: str) -> None:
        """Label the storages of tensors; a storage not seen before counts as alive from now on."""
        for tensor in tensors:
            self._track(tensor, label).label = label

    def current(self) -> dict[str, int]:
        """Return the bytes that are alive now, by label."""
        totals: dict[str, int] = defaultdict(int)
        for block in self._alive.values():
            totals[block.label] += block.bytes
        return dict(totals)

    def peak(self, scales: Mapping[str, float] | None = None) -> Peak:
        """Find the moment of the largest total.

        Args:
            scales: factors of labels, 1 if not given: 0 ignores a label, 1/8 shards it over 8 ranks.
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
        """Run an operator and track the storages that it returns."""
        result = func(*args, **(kwargs or {}))
        label = "activations"
        if func in _COPIES and self._label_of(args[0]) == "parameters":
            label = "copies"
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._track(leaf, label)
        return result

    def _label_of(self, tensor: Tensor) -> str | None:
        block = self._alive.get(tensor.untyped_storage()._cdata)
        return None if block is None else block.label

    def _track(self, tensor: Tensor, label: str) -> _Block:
        storage = tensor.untyped_storage()
        block = self._alive.get(storage._cdata)
        if block is None:
            block = _Block(storage.nbytes(), label)
            self._alive[storage._cdata] = block
            self._events.append((block, 1))
            # Called when the storage is freed. The Python object of a storage lives as long as the storage itself.
            weakref.finalize(storage, self._release, storage._cdata).atexit = False
        return block

    def _release(self, address: int) -> None:
        self._events.append((self._alive.pop(address), -1))
