"""Count the kernel launches of a call, and the places where the host would wait for a GPU. Runs on a CPU.

A GPU works through a queue of kernels that the host fills. Each launch costs the host some microseconds, and each read of a
result (``.item()``, ``nonzero``, ``x[mask]``, a copy between host and GPU) makes the host wait until the queue is empty. A
training step with many small kernels and many waits therefore leaves the GPU idle. :func:`count_launches` finds both without a
GPU:

>>> result, counts = count_launches(lambda: head.loss(features, samples))
>>> print(counts.launches, counts.waits)
>>> print(counts.table())

CPU tensors play the tensors of the GPU. A tensor belongs to the host if it was made from Python or NumPy values, or by a
factory function without ``device`` or with ``device="cpu"``, if it was copied by ``.cpu()`` or ``.to("cpu")``, or if it was
computed from such tensors only. ``.to(device)`` with a ``torch.device`` copies a host tensor to the GPU, also if the device is
the CPU in this run.

Limits: some operators start more than one kernel, or another number on a GPU than on a CPU. The counts compare two versions of
the same computation; they are not times.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["LaunchCounts", "count_launches"]

T = TypeVar("T")

_READS = {
    "_local_scalar_dense": "scalar read",
    "equal": "scalar read",
    "is_nonzero": "scalar read",
    "nonzero": "nonzero",
    "masked_select": "boolean index",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "bincount": "bincount",
    "nms": "nms",
}
"""Operators whose result or size of result the host reads, and the kind of the wait."""
_NO_KERNEL = frozenset({"_unsafe_view", "resize_", "set_", "lift"})
"""Operators that return tensors and start no kernel, apart from views and ``empty``."""
_FACTORIES = frozenset({"arange", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn", "randperm", "zeros"})
_FROM_VALUES = frozenset({"tensor", "as_tensor"})


@dataclass
class LaunchCounts:
    """Operators that start kernels, and waits of the host, by kind and by place.

    Attributes:
        operators: calls per operator, for example ``{"aten.mul": 3}``.
        traffic: bytes of the tensors that these calls read and write, per operator: what their kernels move at least.
        wait_kinds: waits per kind: ``scalar read``, ``nonzero``, ``boolean index``, ``unique``, ``bincount``, ``nms``,
            ``copy to host``, ``copy to device``.
        wait_places: waits per kind, file and line of the caller outside of PyTorch.
    """

    operators: Counter[str] = field(default_factory=Counter)
    traffic: Counter[str] = field(default_factory=Counter)
    wait_kinds: Counter[str] = field(default_factory=Counter)
    wait_places: Counter[str] = field(default_factory=Counter)

    @property
    def launches(self) -> int:
        """Number of operator calls that start at least one kernel."""
        return self.operators.total()

    @property
    def bytes(self) -> int:
        """Number of bytes that the launched operators read and write."""
        return self.traffic.total()

    @property
    def waits(self) -> int:
        """Number of times the host would wait for the GPU."""
        return self.wait_kinds.total()

    def table(self, rows: int = 10) -> str:
        """Return a text with the totals, the most frequent operators and the places of the waits.

        Args:
            rows: largest number of operators, and of places.
        """
        lines = [f"{self.launches} launches, {self.waits} waits, {self.bytes / 1e6:.1f} MB"]
        for title, counts in (("launch", self.operators), ("wait", self.wait_places)):
            lines += [f"{count:6d}  {title}  {name}" for name, count in counts.most_common(rows)]
        return "\n".join(lines)


def count_launches(call: Callable[[], T]) -> tuple[T, LaunchCounts]:
    """Run a call once on the CPU and count what it would launch, and wait for, on a GPU.

    Args:
        call: forward passes, or forward and backward passes, on CPU tensors, without ``torch.compile``.

    Returns:
        The result of the call, and the counts.
    """
    counts = LaunchCounts()
    hosts = _Hosts()
    with _Calls(counts, hosts), _Operators(counts, hosts):
        result = call()
    return result, counts


class _Hosts:
    """The tensors that would be in the host's memory, by their storage."""

    def __init__(self) -> None:
        # The storages stay alive, so that their addresses are not used again.
        self._storages: dict[int, torch.UntypedStorage] = {}
        self.paused = False

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._storages

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._storages[storage._cdata] = storage

    def remove(self, tensor: Tensor) -> None:
        self._storages.pop(tensor.untyped_storage()._cdata, None)

    def make(self, factory: Callable[..., Tensor], args: Any = (), kwargs: Any = None) -> Tensor:
        """Make a tensor of the host without counting."""
        made = self._uncounted(factory, *args, **(kwargs or {}))
        self.add(made)
        return made

    def copy(self, tensor: Tensor, to_host: bool) -> Tensor:
        """Return a copy that belongs to the other side; the copy itself is not counted."""
        return self.make(tensor.clone) if to_host else self._uncounted(tensor.clone)

    def _uncounted(self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        self.paused = True
        try:
            return function(*args, **kwargs)
        finally:
            self.paused = False


class _Calls(TorchFunctionMode):
    """Calls that name a device. On a CPU, the operators below do not show copies between host and GPU."""

    def __init__(self, counts: LaunchCounts, hosts: _Hosts) -> None:
        super().__init__()
        self.counts, self.hosts = counts, hosts

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _FACTORIES and kwargs.get("device") in (None, "cpu"):
            return self.hosts.make(func, args, kwargs)
        result = func(*args, **kwargs)
        if name == "new_tensor" or (name in _FROM_VALUES and kwargs.get("device") not in (None, "cpu")):
            if result in self.hosts and not (name == "new_tensor" and args[0] in self.hosts):
                self.hosts.remove(result)
                _wait(self.counts, "copy to device")
        elif name in ("cpu", "to", "cuda", "type_as") and isinstance(result, Tensor):
            return self._moved(name, args, kwargs, result)
        elif name in ("tolist", "numpy", "__array__") and args[0] not in self.hosts:
            _wait(self.counts, "copy to host")
        return result

    def _moved(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> Tensor:
        on_host = args[0] in self.hosts
        to_host = _goes_to_host(name, (*args[1:], *kwargs.values()), self.hosts)
        if to_host is None or to_host == on_host:
            return result
        if not kwargs.get("non_blocking"):
            _wait(self.counts, "copy to host" if to_host else "copy to device")
        return self.hosts.copy(result, to_host)


def _goes_to_host(name: str, values: tuple[Any, ...], hosts: _Hosts) -> bool | None:
    """Return True for a move to the host, False for a move to the GPU, None for a call that only changes the dtype."""
    if name == "cpu":
        return True
    if name == "cuda":
        return False
    for value in values:
        if isinstance(value, Tensor):
            return value in hosts
        if isinstance(value, str):
            return value == "cpu"
        if isinstance(value, torch.device):
            return False
    return None


class _Operators(TorchDispatchMode):
    """Operators below autograd."""

    def __init__(self, counts: LaunchCounts, hosts: _Hosts) -> None:
        super().__init__()
        self.counts, self.hosts = counts, hosts

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.hosts.paused or func.namespace in ("prim", "profiler"):
            return result
        name = func.overloadpacket.__name__
        inputs = list(_tensors((args, kwargs)))
        hosts = [tensor for tensor in inputs if tensor in self.hosts]
        if name == "lift_fresh" or (inputs and len(hosts) == len(inputs)):
            for tensor in _tensors(result):
                self.hosts.add(tensor)
            return result
        if kind := _wait_kind(name, args, kwargs):
            _wait(self.counts, kind)
        for tensor in hosts:
            # The host passes a tensor of one value as an argument of the kernel, except to an indexed assignment.
            if tensor.ndim or (name.startswith("index_put") and not _has_mask(args[1])):
                _wait(self.counts, "copy to device")
        if not (func.is_view or name in _NO_KERNEL or "empty" in name) and any(True for _ in _tensors(result)):
            operator = f"{func.namespace}.{name}"
            self.counts.operators[operator] += 1
            self.counts.traffic[operator] += sum(x.numel() * x.element_size() for x in (*inputs, *_tensors(result)))
        return result


def _wait_kind(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the kind of an operator's wait, None if it has none."""
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "scalar read"
    if name.startswith(("index", "_index_put", "_unsafe_index")) and len(args) > 1 and _has_mask(args[1]):
        # PyTorch fills a mask with one value without an index.
        filled = "put" in name and args[2].ndim == 0
        return None if filled else "boolean index"
    return _READS.get(name)


def _has_mask(indices: Any) -> bool:
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(indices))


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in tree_leaves(values):
        if isinstance(value, Tensor):
            yield value


def _wait(counts: LaunchCounts, kind: str) -> None:
    counts.wait_kinds[kind] += 1
    counts.wait_places[f"{kind}: {_place()}"] += 1


def _place() -> str:
    """Return file and line of the innermost caller outside of PyTorch and this file."""
    ignored = (str(Path(torch.__file__).parent), __file__)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(ignored):
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    return f"{'/'.join(path.parts[-3:])}:{frame.f_lineno}"
