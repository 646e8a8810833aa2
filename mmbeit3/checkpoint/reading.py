"""Reading files of tensors. Files from outside are data: nothing in them is ever run."""

from __future__ import annotations

import pickle
import re
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmbeit3.checkpoint.finding import file_in_folder, is_index, read_index, what_it_is
from mmbeit3.checkpoint.integrity import check_safetensors, check_zip
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.pickles import inert_globals, recording_globals, revive
from mmbeit3.downloads import download, is_url
from mmbeit3.errors import UserError, one_line

__all__ = ["read_classes", "read_lazily", "read_notes", "read_state_dict", "read_training"]

_WRAPPERS = ("model", "module", "state_dict", "teacher")
"""Where weights sit in official files, DeepSpeed files, MMEngine or Lightning files, and those of DINO's training."""

_WRAPPED = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts of names that ``torch.compile``, FSDP and activation checkpointing add."""

_MOST_MAPPED = 128 << 20
"""Bytes read through one memory map before it is given back and made anew: what is mapped counts as used memory."""

_DAMAGE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)
"""What readers raise for files that were cut short, changed, or never checkpoints."""


def read_state_dict(source: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file or URL onto the CPU.

    The format is told by the content, not by the name (browsers rename ``.pth`` to ``.zip``): safetensors, or PyTorch's own
    format read with ``weights_only=True``. There is no fallback to full unpickling. Checksums are checked where the file has
    some. Files are mapped into memory: a tensor is read when it is used.

    Args:
        source: a path, or an ``https://`` address, which is downloaded into the cache first (:mod:`mmbeit3.downloads`). Of
            folders, those of DeepSpeed and of Hugging Face (one file, or several and an index) are known.

    Returns:
        Names to tensors, as stored (half precision stays half precision). PyTorch's versions of the modules that wrote them
        (``_metadata``) are kept where the file has them, for ``load_state_dict``.

    Raises:
        UserError: if the file is missing, damaged, holds anything but plain data, or holds no tensors.
    """
    path = _local(str(source))
    return _weights(_load(path), path)


def read_lazily(source: str | Path) -> dict[str, LazyTensor]:
    """As :func:`read_state_dict`, for reading each tensor once: memory in use stays small however large the file is."""
    path = _local(str(source))
    reader = _MappedFile(path)
    return {
        name: LazyTensor(torch.empty_like(tensor, device="meta"), lambda name=name: reader.read(name))  # type: ignore[misc]
        for name, tensor in reader.tensors.items()
    }


def read_notes(source: str | Path) -> dict[str, str | int | float]:
    """What a training checkpoint says of itself in plain values: ``epoch``, ``iter``, ``mmengine_version``, ``time`` and such.

    Values are data; a config's text among them (``cfg``) is not to be run.

    Raises:
        UserError: as :func:`read_state_dict`.
    """
    content = _load(_local(str(source)))
    notes: dict[str, str | int | float] = {}
    for part in (content, content.get("meta") if isinstance(content, Mapping) else None):
        if isinstance(part, Mapping):
            notes |= {str(name): value for name, value in part.items() if type(value) in (str, int, float)}
    return notes


def read_classes(source: str | Path) -> list[str] | None:
    """The classes that a training checkpoint says it was trained on, in the order of its labels; None if it says nothing.

    Raises:
        UserError: as :func:`read_state_dict`.
    """
    content: Any = _load(_local(str(source)))
    for key in ("meta", "dataset_meta", "classes"):
        content = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(content, list | tuple) and content and all(isinstance(name, str) for name in content):
        return list(content)
    return None


def read_training(source: str | Path) -> dict[str, Any]:
    """Read all of a training checkpoint onto the CPU, to go on with the training: weights, optimizer, counters, log histories.

    As safe as :func:`read_state_dict`: of NumPy's arrays and MMEngine's log histories, new ones are made. MMEngine would run
    the config that older versions have stored under ``meta.config``; it is left out.

    Raises:
        UserError: as :func:`read_state_dict`.
    """
    path = _local(str(source))
    content = _load(path, names=recording_globals(), mapped=False)
    if not isinstance(content, dict):
        raise UserError(
            f"checkpoint '{path}' holds a {type(content).__name__}, not a training's state: give a file of training"
        )
    try:
        content = revive(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"checkpoint '{path}' is damaged: it holds {one_line(error)}; copy it again") from error
    if isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)
    return content


class _MappedFile:
    """A file's tensors, whose memory map is renewed after some hundred megabytes."""

    def __init__(self, path: Path) -> None:
        self.tensors = _weights(_load(path), path)
        self._path = path
        self._mappable = is_index(path) or _is_safetensors(path) or zipfile.is_zipfile(path)
        self._read = 0

    def read(self, name: str) -> Tensor:
        if self._mappable and self._read > _MOST_MAPPED:
            self.tensors = {}
            self.tensors = _weights(_load(self._path, check=False), self._path)
            self._read = 0
        tensor = self.tensors[name]
        self._read += tensor.nbytes
        return tensor


def _weights(content: object, path: Path) -> dict[str, Tensor]:
    """Take the tensors out of a file's content."""
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    if isinstance(content, Mapping):
        tensors |= _plain_names({str(name): value for name, value in content.items() if isinstance(value, Tensor)}, path)
    if not tensors:
        raise UserError(
            f"checkpoint '{path}' holds no weights: expected names to tensors, "
            f"or a dict with them under one of {', '.join(_WRAPPERS)}"
        )
    size = sum(file.stat().st_size for file in (read_index(path) if is_index(path) else [path]))
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor, size)]:
        raise UserError(
            f"checkpoint '{path}' is damaged: {list_names(odd)} is no plain tensor of a size that the file can hold"
        )
    if all(tensor.numel() == 0 for tensor in tensors.values()):
        raise UserError(
            f"checkpoint '{path}' has its weights spread over processes (ZeRO stage 3): "
            "gather them by DeepSpeed's zero_to_fp32.py, which lies in the folder, and give the file it writes"
        )
    tensors._metadata = _versions(content)  # type: ignore[attr-defined]
    return tensors


def _versions(content: object) -> dict[str, dict[str, int]]:
    """The version of each module that a state dict says, as PyTorch keeps it."""
    said = getattr(content, "_metadata", None)
    versions = {}
    for name, one in said.items() if isinstance(said, dict) else ():
        if isinstance(name, str) and isinstance(one, dict) and type(one.get("version")) is int:
            versions[_WRAPPED.sub("", name)] = {"version": one["version"]}
    return versions


def _plain_names(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without what compiling, sharding and checkpointing of activations put into them."""
    named = {_WRAPPED.sub("", name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise UserError(f"checkpoint '{path}' has the same tensor twice, in a wrapper and outside: give one with each once")
    return named


def _is_plain(tensor: Tensor, file_size: int) -> bool:
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        return False
    return type(tensor) in (Tensor, torch.nn.Parameter) and tensor.nbytes <= file_size


def _local(source: str) -> Path:
    if is_url(source):
        return download([source], check=read_state_dict)
    path = Path(source).expanduser()
    if path.is_dir():
        return file_in_folder(path)
    if not path.is_file():
        raise UserError(f"checkpoint '{path}' does not exist: give the path of a .pth or .safetensors file")
    return path


def _load(path: Path, check: bool = True, names: list[Any] | None = None, mapped: bool = True) -> object:
    if is_index(path):
        return _load_shards(path, check)
    if (other := what_it_is(path)) is not None:
        raise UserError(f"checkpoint '{path}' {other}")
    try:
        if _is_safetensors(path):
            if check:
                check_safetensors(path)
            return load_file(path)
        # Memory mapping needs the zip format of torch >= 1.6; older files, which have no checksums either, are read whole.
        zipped = zipfile.is_zipfile(path)
        if zipped and check:
            check_zip(path)
        with torch.serialization.safe_globals(inert_globals() if names is None else names):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped and mapped)
    except SafetensorError as error:
        raise UserError(
            f"checkpoint '{path}' is damaged or truncated ({one_line(error)}): download or copy it again"
        ) from error
    except pickle.UnpicklingError as error:
        if match := re.search(r"GLOBAL (\S+) (?:was not an allowed global|whose module)", str(error)):
            raise UserError(
                f"checkpoint '{path}' was refused: it holds Python objects ({one_line(match[1])}), which could run code, and "
                "not only tensors. Ask its author for safetensors or plain tensors"
            ) from error
        # PyTorch's own text goes on to advise how to have everything run.
        reason = re.search("WeightsUnpickler error: (.+)", str(error))
        raise UserError(
            f"checkpoint '{path}' is damaged or no checkpoint ({one_line(reason[1] if reason else 'its pickle is not plain')})"
        ) from error
    except _DAMAGE as error:
        raise UserError(
            f"checkpoint '{path}' is damaged, truncated or no checkpoint ({one_line(error) or type(error).__name__}): "
            "download or copy it again"
        ) from error


def _load_shards(index: Path, check: bool) -> dict[str, object]:
    """Read the files that an index names: each has what the index says, and nothing is in two."""
    merged: dict[str, object] = {}
    for path, names in read_index(index).items():
        content = _load(path, check)
        if not isinstance(content, Mapping):
            raise UserError(f"checkpoint '{path}' holds a {type(content).__name__}, not names to tensors: copy it again")
        found = set(content)
        if found != names:
            odd = sorted(map(str, found ^ names))
            raise UserError(
                f"checkpoint '{path}' is not what '{index.name}' says: {list_names(odd)} stands in one of them alone; download "
                "or copy all files again"
            )
        merged.update(content)
    return merged


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000
