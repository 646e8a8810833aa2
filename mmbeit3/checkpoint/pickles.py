"""What PyTorch's safe unpickler may meet besides tensors: stand-ins, of which only plain values are made, if anything.

None of the classes that a file names is used: a NumPy dtype made by a file could misread memory.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

__all__ = ["inert_globals", "recording_globals", "revive"]

_NUMBERS = frozenset(
    f"{order}{kind}" for order in "<=|" for kind in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)
"""Types of arrays that are made: plain numbers in the byte order of this machine."""


class Ignored:
    """Stands for an object beside the weights; whatever it is made of is dropped."""

    def __new__(cls, *_: object) -> Ignored:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _statistic(owner: object, name: str) -> Ignored:
    """Stands for getattr, by which a log's history names its own methods; anything else is refused."""
    if owner not in (_History, _RecordedHistory) or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr({name!r}) was not an allowed global")
    return Ignored()


def _no_bytes(*arguments: object) -> bytes:
    """Stands for the type bytes, by which pickles name an empty string of bytes; anything else is refused."""
    if arguments:
        raise pickle.UnpicklingError("GLOBAL builtins.bytes was not an allowed global")
    return b""


class _History(Ignored):
    """Stands for MMEngine's ``HistoryBuffer``."""


class _Recorded:
    """Stands for an object of which a plain value can be made; keeps what the file says of it."""

    def __new__(cls, *arguments: object) -> _Recorded:
        """Keep the arguments."""
        made = super().__new__(cls)
        made.arguments = arguments
        made.state = None
        return made

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    arguments: tuple[Any, ...]
    state: Any

    def revive(self) -> Any:
        """The plain value; raises ValueError if it is none."""
        raise NotImplementedError


class _RecordedType(_Recorded):
    """Stands for a NumPy dtype."""

    def revive(self) -> np.dtype[Any]:
        code = str(self.arguments[0])
        order = str(self.state[1]) if self.state else "="
        name = code if code[:1] in "<>=|" else order + code
        if name not in _NUMBERS:
            raise ValueError(f"an array of type {name[:20]!r}")
        return np.dtype(name)


class _RecordedArray(_Recorded):
    """Stands for a NumPy array, and for the function by which one is pickled."""

    def revive(self) -> np.ndarray:
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, _RecordedType) or not isinstance(data, bytes):
            raise ValueError("an array of objects")
        array = np.frombuffer(data, dtype.revive()).reshape(shape, order="F" if fortran else "C")
        return array.copy()


class _RecordedScalar(_Recorded):
    """Stands for a NumPy number."""

    def revive(self) -> Any:
        dtype, data = self.arguments
        return np.frombuffer(data, dtype.revive())[0]


class _RecordedHistory(_Recorded):
    """Stands for MMEngine's ``HistoryBuffer``."""

    def revive(self) -> Any:
        from mmengine.logging import HistoryBuffer

        log, count = (self.state[name].revive().tolist() for name in ("_log_history", "_count_history"))
        return HistoryBuffer(log, count, int(self.state["max_length"]))


_CORES = ("core", "_core")
_KINDS = ("Bool", "Int32", "Int64", "Float16", "Float32", "Float64")
_BUILTINS = ("builtins.", "__builtin__.", "")
_HISTORY = "mmengine.logging.history_buffer.HistoryBuffer"


def inert_globals() -> list[Any]:
    """Names that training scripts leave in their files: MMEngine's log histories, NumPy values, the reference's arguments.

    All of them become nothing, for who wants the weights alone.
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
    """The same names, of which :func:`revive` makes plain values, for who goes on with the training."""
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
    """Make plain values of what :func:`recording_globals` kept, inside dicts, lists and tuples.

    Raises:
        ValueError: if a value is not plain, or damaged.
    """
    if isinstance(content, _Recorded):
        try:
            return content.revive()
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError(f"a {type(content).__name__.removeprefix('_Recorded').lower()} is damaged ({error})") from error
    if isinstance(content, dict):
        for key in content:
            content[key] = revive(content[key])
        return content
    if type(content) in (list, tuple):
        return type(content)(revive(one) for one in content)
    return content
