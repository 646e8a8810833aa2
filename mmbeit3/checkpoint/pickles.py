"""What PyTorch's safe unpickler may meet besides tensors, and what is made of it: nothing."""

from __future__ import annotations

import pickle
from typing import Any

__all__ = ["inert_globals"]


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
    if owner is not _History or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr({name!r}) was not an allowed global")
    return Ignored()


class _History(Ignored):
    """Stands for MMEngine's ``HistoryBuffer``."""


def inert_globals() -> list[Any]:
    """Names that training scripts leave in their files: MMEngine's log histories, NumPy values, the reference's arguments.

    None of the classes that they name is used: a NumPy dtype made by a file could misread memory.
    """
    numpy = [f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")]
    kinds = ("Bool", "Int32", "Int64", "Float16", "Float32", "Float64")
    numpy += ["numpy.ndarray", "numpy.dtype", *(f"numpy.dtypes.{kind}DType" for kind in kinds)]
    getters = ("builtins.getattr", "__builtin__.getattr", "getattr")
    return [
        *((Ignored, name) for name in (*numpy, "argparse.Namespace")),
        (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
        *((_statistic, name) for name in getters),
    ]
