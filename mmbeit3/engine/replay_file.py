"""Files with one batch of training, to run it again: only tensors and plain values, so that reading them runs no code."""

from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmbeit3.errors import UserError, one_line
from mmbeit3.files import atomic_file

__all__ = ["from_plain", "random_state", "read_replay", "restore_random_state", "to_plain", "write_replay"]

_KIND = "__kind__"
_PACKAGES = ("mmengine", "mmdet", "mmseg", "mmpretrain", "mmbeit3")
"""Packages whose data samples, boxes and masks are rebuilt."""


def to_plain(value: Any) -> Any:
    """Convert a batch to tensors, dicts, lists, strings and numbers. A value of another type becomes its text.

    Args:
        value: anything that a data loader returns, such as data samples, boxes and masks of mmdet and mmseg.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        # A copy, because a view would be saved with the whole tensor that it belongs to.
        return value.detach().to("cpu", copy=True)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {_KIND: "array", "dtype": value.dtype.str, "data": _array_to_tensor(value)}
    if isinstance(value, BaseDataElement):
        return {
            _KIND: "element",
            "type": _type_name(value),
            "metainfo": to_plain(dict(value.metainfo_items())),
            "data": to_plain(dict(value.items())),
        }
    if hasattr(value, "tensor") and hasattr(value, "box_dim"):
        return {_KIND: "boxes", "type": _type_name(value), "data": to_plain(value.tensor)}
    if hasattr(value, "masks") and hasattr(value, "height") and hasattr(value, "width"):
        parts = {"height": value.height, "width": value.width, "data": to_plain(value.masks)}
        return {_KIND: "masks", "type": _type_name(value), **parts}
    if isinstance(value, Mapping):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [to_plain(part) for part in value]
    if isinstance(value, tuple):
        return {_KIND: "tuple", "data": [to_plain(part) for part in value]}
    return str(value) if isinstance(value, Path) else {_KIND: "other", "text": one_line(repr(value))}


def from_plain(value: Any) -> Any:
    """Rebuild a batch from the result of :func:`to_plain`.

    Raises:
        UserError: for a value that cannot be rebuilt.
    """
    if isinstance(value, list):
        return [from_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_KIND)
    if kind is None:
        return {key: from_plain(part) for key, part in value.items()}
    if kind == "array":
        return value["data"].numpy().astype(np.dtype(value["dtype"]))
    if kind == "tuple":
        return tuple(from_plain(part) for part in value["data"])
    if kind not in ("element", "boxes", "masks"):
        raise UserError(f"the batch holds {value.get('text', kind)}, which cannot be rebuilt")
    built, data = _find_type(value["type"]), from_plain(value["data"])
    if kind == "element":
        return built(metainfo=from_plain(value["metainfo"]), **data)
    if kind == "boxes":
        return built(data, clone=False)
    return built(data, value["height"], value["width"])


def _array_to_tensor(array: np.ndarray) -> Tensor:
    # PyTorch does not support all unsigned types and byte orders everywhere; the dtype is stored beside it.
    wide = array.astype(np.int64) if array.dtype.kind == "u" and array.dtype.itemsize > 1 else array
    return torch.from_numpy(np.array(wide, dtype=wide.dtype.newbyteorder("=")))


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _find_type(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if module.partition(".")[0] not in _PACKAGES:
        raise UserError(f"the batch holds an object of '{module}', which is none of {', '.join(_PACKAGES)}")
    found = getattr(import_module(module), qualname, None)
    if not isinstance(found, type):
        raise UserError(f"the batch holds a '{qualname}' of {module}, which does not exist in the installed version")
    return found


def random_state() -> dict[str, Any]:
    """Return the states of the random generators of PyTorch, NumPy and Python as plain values. Does not wait for a GPU."""
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state()
    kind, keys, position, has_gauss, cached = numpy_state
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(words), gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set the random generators to a state of :func:`random_state`."""
    torch.set_rng_state(state["torch"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def write_replay(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file atomically.

    Args:
        path: file to write.
        content: plain values.

    Raises:
        UserError: if it cannot be written.
    """
    with atomic_file(path) as file:
        torch.save(dict(content), file)


def read_replay(path: str | Path) -> dict[str, Any]:
    """Read a file of :func:`write_replay`.

    Raises:
        UserError: if it does not exist, or is not such a file.
    """
    if not Path(path).is_file():
        raise UserError(f"replay file '{path}' does not exist: give a file of WORK_DIR/replay")
    if not zipfile.is_zipfile(path):
        raise UserError(f"replay file '{path}' cannot be read: it is damaged, or no file of PyTorch")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"replay file '{path}' cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict) or not {"step", "batch", "random", "weights"} <= set(content):
        raise UserError(f"'{path}' is not a replay file: give a file of WORK_DIR/replay")
    return content
