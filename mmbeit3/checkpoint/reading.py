"""Reading files of tensors. Files from outside are data: nothing in them is ever run."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmbeit3.errors import UserError

__all__ = ["read_state_dict"]

# NumPy's own rebuilding functions, whose module was renamed in NumPy 2.
_np_reconstruct = np.zeros(1).__reduce__()[0]
_np_scalar = np.float64(0).__reduce__()[0]

_WRAPPERS = ("model", "module", "state_dict")
"""Where weights sit in official files, DeepSpeed files and MMEngine or Lightning files."""


def read_state_dict(source: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file or URL onto the CPU.

    The format is told by the content, not by the name (browsers rename ``.pth`` to ``.zip``): safetensors, or PyTorch's own
    format read with ``weights_only=True``. There is no fallback to full unpickling.

    Args:
        source: a path, or an ``http(s)://`` address, which is downloaded into torch.hub's folder first.

    Returns:
        Names to tensors, as stored (half precision stays half precision).

    Raises:
        UserError: if the file is missing, damaged, holds anything but plain data, or holds no tensors.
    """
    path = _local(str(source))
    content = _load(path)
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(
            f"checkpoint '{path}' holds no weights: expected names to tensors, "
            f"or a dict with them under one of {', '.join(_WRAPPERS)}"
        )
    return tensors


def _local(source: str) -> Path:
    if urlparse(source).scheme in ("http", "https"):
        return _download(source)
    path = Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"checkpoint '{path}' does not exist: give the path of a .pth or .safetensors file")
    return path


def _download(url: str) -> Path:
    name = Path(urlparse(url).path).name
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Writes to a temporary file beside the target and renames it when complete.
            torch.hub.download_url_to_file(url, str(target))
        except OSError as error:
            raise UserError(f"checkpoint '{url}' cannot be downloaded ({error}): fetch it by hand to '{target}'") from error
    return target


def _load(path: Path) -> object:
    try:
        if _is_safetensors(path):
            return load_file(path)
        with torch.serialization.safe_globals(_inert_globals()):
            # Memory mapping needs the zip format of torch >= 1.6; older files are read whole.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except SafetensorError as error:
        raise UserError(f"checkpoint '{path}' is damaged or truncated ({error}): download or copy it again") from error
    except pickle.UnpicklingError as error:
        if match := re.search(r"GLOBAL (\S+) was not an allowed global", str(error)):
            raise UserError(
                f"checkpoint '{path}' was refused: it holds Python objects ({match[1]}), which could run code, and not only "
                "tensors. Ask its author for safetensors or plain tensors"
            ) from error
        raise UserError(f"checkpoint '{path}' is damaged or no checkpoint ({_first_line(error)})") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
        # What torch.load raises for files that are cut short or were never checkpoints.
        raise UserError(
            f"checkpoint '{path}' is damaged, truncated or no checkpoint ({_first_line(error)}): download or copy it again"
        ) from error


def _inert_globals() -> list[Any]:
    """What MMEngine's own checkpoints hold besides tensors: log histories, in NumPy arrays. None of these can run code."""
    kinds = (np.bool_, np.int32, np.int64, np.float16, np.float32, np.float64)
    inert: list[Any] = [np.ndarray, np.dtype, _np_reconstruct, _np_scalar, *(type(np.dtype(kind)) for kind in kinds)]
    if find_spec("mmengine") is not None:
        from mmengine.logging.history_buffer import HistoryBuffer

        def statistic(owner: object, name: str) -> object:
            """Stands for getattr, by which a history names its own methods; anything else is refused."""
            if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
                raise pickle.UnpicklingError(f"GLOBAL builtins.getattr({name!r}) was not an allowed global")
            return getattr(HistoryBuffer, name)

        inert += [HistoryBuffer, (statistic, "builtins.getattr"), (statistic, "__builtin__.getattr"), (statistic, "getattr")]
    return inert


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
