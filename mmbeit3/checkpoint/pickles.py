"""Replacements for the classes that PyTorch's safe unpickler may find in a checkpoint beside tensors.

``torch.load(weights_only=True)`` refuses every global name in a pickle that is not on its list. Training programs store a few
other names in their files. Each of these is mapped to a harmless replacement, defined here, instead of the real class or
function. Real NumPy classes are never given to the unpickler: a dtype built from a file's bytes could misread memory.

========================================  ======================================================================
name in the file                          why the replacement is safe
========================================  ======================================================================
``numpy…multiarray._reconstruct``         builds no array: the arguments are dropped or stored. An array is made
                                          later, from bytes and one of the types in ``_NUMBERS``
``numpy…multiarray.scalar``               as above, for one number
``numpy.dtype``, ``numpy.dtypes.*``       only the type's code is stored, and looked up in ``_NUMBERS``
``numpy.ndarray``                         an argument of ``_reconstruct``; an empty object takes its place
``argparse.Namespace``                    its attributes are dropped
MMEngine's ``HistoryBuffer``              its two arrays and length are stored; a new buffer is made from them
``getattr``                               accepts four names of one replacement class, and returns an empty object
``bytes``                                 accepts no arguments, and returns ``b""``
========================================  ======================================================================

A replacement calls nothing that the file chooses, and an empty object cannot be called.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

__all__ = ["inert_globals", "recording_globals", "revive"]

_NUMBERS = frozenset(
    f"{order}{kind}" for order in "<=|" for kind in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)
"""Types of the arrays that are created: plain numbers in little-endian or native byte order. No objects, no text."""


class Ignored:
    """Replacement for an object beside the weights. Its arguments and state are dropped."""

    def __new__(cls, *_: object) -> Ignored:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _statistic(owner: object, name: str) -> Ignored:
    """Replacement for ``getattr``. A pickled ``HistoryBuffer`` uses it to name its methods; any other use is refused."""
    if owner not in (_History, _RecordedHistory) or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr({name!r}) was not an allowed global")
    return Ignored()


def _no_bytes(*arguments: object) -> bytes:
    """Replacement for ``bytes``. Pickle protocol 2 writes ``b""`` as a call without arguments; any other use is refused."""
    if arguments:
        raise pickle.UnpicklingError("GLOBAL builtins.bytes was not an allowed global")
    return b""


class _History(Ignored):
    """Replacement for MMEngine's ``HistoryBuffer`` when only weights are read."""


class _Recorded:
    """Replacement for an object that can become a plain value. It stores the pickle's arguments and state."""

    def __new__(cls, *arguments: object) -> _Recorded:
        """Store the arguments."""
        recorded = super().__new__(cls)
        recorded.arguments = arguments
        recorded.state = None
        return recorded

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    arguments: tuple[Any, ...]
    state: Any

    def revive(self) -> Any:
        """Return the plain value. Raises ValueError if the type is not allowed."""
        raise NotImplementedError


class _RecordedType(_Recorded):
    """Replacement for a NumPy dtype."""

    def revive(self) -> np.dtype[Any]:
        # A dtype is pickled as its code, e.g. "f4", and a state whose second item is the byte order.
        code = str(self.arguments[0])
        order = str(self.state[1]) if self.state else "="
        name = code if code[:1] in "<>=|" else order + code
        if name not in _NUMBERS:
            raise ValueError(f"an array of type {name[:20]!r}")
        return np.dtype(name)


class _RecordedArray(_Recorded):
    """Replacement for a NumPy array, and for the function that unpickles one."""

    def revive(self) -> np.ndarray:
        # The state of a pickled array: version, shape, dtype, column-major order, bytes.
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, _RecordedType) or not isinstance(data, bytes):
            raise ValueError("an array of objects")
        # frombuffer and reshape check the sizes; a wrong shape raises ValueError.
        array = np.frombuffer(data, dtype.revive()).reshape(shape, order="F" if fortran else "C")
        return array.copy()


class _RecordedScalar(_Recorded):
    """Replacement for a NumPy number."""

    def revive(self) -> Any:
        dtype, data = self.arguments
        return np.frombuffer(data, dtype.revive())[0]


class _RecordedHistory(_Recorded):
    """Replacement for MMEngine's ``HistoryBuffer`` when a training is resumed."""

    def revive(self) -> Any:
        from mmengine.logging import HistoryBuffer

        log, count = (self.state[name].revive().tolist() for name in ("_log_history", "_count_history"))
        return HistoryBuffer(log, count, int(self.state["max_length"]))


# NumPy 1 and NumPy 2 have different names for the same module.
_CORES = ("core", "_core")
_KINDS = ("Bool", "Int32", "Int64", "Float16", "Float32", "Float64")
# Modules of builtins in Python 3 and Python 2. PyTorch can also name builtins without a module.
_BUILTINS = ("builtins.", "__builtin__.", "")
_HISTORY = "mmengine.logging.history_buffer.HistoryBuffer"


def inert_globals() -> list[Any]:
    """Return the replacements for reading weights alone: every object beside the weights is dropped.

    They cover the names that training programs store: MMEngine's log histories, NumPy values, and the command-line arguments
    in BEiT-3's reference files. The result is for ``torch.serialization.safe_globals``.
    """
    numpy = [f"numpy.{core}.multiarray.{name}" for core in _CORES for name in ("_reconstruct", "scalar")]
    numpy += ["numpy.ndarray", "numpy.dtype", *(f"numpy.dtypes.{kind}DType" for kind in _KINDS)]
    return [
        *((Ignored, name) for name in (*numpy, "argparse.Namespace")),
        (_History, _HISTORY),
        *((_statistic, f"{module}getattr") for module in _BUILTINS),
        *((_no_bytes, f"{module}bytes") for module in _BUILTINS),
    ]


def recording_globals() -> list[Any]:
    """Return the replacements for resuming a training, for the same names. :func:`revive` turns them into plain values."""
    return [
        *((_RecordedArray, f"numpy.{core}.multiarray._reconstruct") for core in _CORES),
        *((_RecordedScalar, f"numpy.{core}.multiarray.scalar") for core in _CORES),
        *((_RecordedType, name) for name in ("numpy.dtype", *(f"numpy.dtypes.{kind}DType" for kind in _KINDS))),
        *((Ignored, name) for name in ("numpy.ndarray", "argparse.Namespace")),
        (_RecordedHistory, _HISTORY),
        *((_statistic, f"{module}getattr") for module in _BUILTINS),
        *((_no_bytes, f"{module}bytes") for module in _BUILTINS),
    ]


def revive(content: Any) -> Any:
    """Turn the replacements from :func:`recording_globals` into plain values, inside dicts, lists and tuples.

    Raises:
        ValueError: if a value is damaged or has a type that is not allowed.
    """
    if isinstance(content, _Recorded):
        try:
            return content.revive()
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError(f"a damaged {type(content).__name__.removeprefix('_Recorded').lower()} ({error})") from error
    if isinstance(content, dict):
        for key in content:
            content[key] = revive(content[key])
        return content
    if type(content) in (list, tuple):
        return type(content)(revive(item) for item in content)
    return content
