"""Reading of checkpoint files. Files are treated as data: no code in them runs."""

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

from mmbeit3.checkpoint.finding import file_in_folder, identify_file, is_index, read_index
from mmbeit3.checkpoint.integrity import check_safetensors, check_zip
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.pickles import inert_globals, recording_globals, revive
from mmbeit3.downloads import download, is_url
from mmbeit3.errors import UserError, one_line

__all__ = ["read_classes", "read_lazily", "read_notes", "read_state_dict", "read_training"]

_WRAPPERS = ("model", "module", "state_dict", "teacher")
"""Keys of the weights in official files, DeepSpeed files, MMEngine or Lightning files, and files of DINO's training."""

_WRAPPED = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts of names that ``torch.compile``, FSDP and activation checkpointing insert."""

_MOST_MAPPED = 128 << 20
"""Bytes to read through one memory map before it is replaced. Pages that were read count as memory of the process."""

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
"""Errors that the readers raise for truncated or changed files, and for files that are no checkpoints."""


def read_state_dict(source: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file or URL onto the CPU.

    The content determines the format, not the name (browsers rename ``.pth`` to ``.zip``): safetensors, or PyTorch's format
    with ``weights_only=True``. There is no fallback to unrestricted unpickling. Checksums are checked if the file has them.
    Files are mapped into memory: a tensor is read from disk when it is used.

    Args:
        source: a path or an ``https://`` address, which is downloaded into the cache first (:mod:`mmbeit3.downloads`). A
            folder of DeepSpeed or Hugging Face (one file, or several files and an index) is read as well.

    Returns:
        Names to tensors with the stored dtypes. The versions of the modules (PyTorch's ``_metadata``, used by
        ``load_state_dict``) are kept if the file has them.

    Raises:
        UserError: if the file is missing or damaged, contains Python objects, or has no tensors.
    """
    path = _local(str(source))
    return _weights(_load(path), path)


def read_lazily(source: str | Path) -> dict[str, LazyTensor]:
    """Read the weights of a checkpoint on demand. Memory use stays small for any file size if each tensor is read once.

    Args:
        source: see :func:`read_state_dict`.

    Returns:
        Names to tensors that are loaded on demand.

    Raises:
        UserError: see :func:`read_state_dict`.
    """
    path = _local(str(source))
    reader = _MappedFile(path)
    return {
        name: LazyTensor(torch.empty_like(tensor, device="meta"), lambda name=name: reader.read(name))  # type: ignore[misc]
        for name, tensor in reader.tensors.items()
    }


def read_notes(source: str | Path) -> dict[str, str | int | float]:
    """Read the plain values in a training checkpoint, e.g. ``epoch``, ``iter``, ``mmengine_version`` and ``time``.

    The values are untrusted data. Do not run the text of a config (``cfg``) among them.

    Raises:
        UserError: see :func:`read_state_dict`.
    """
    content = _load(_local(str(source)))
    notes: dict[str, str | int | float] = {}
    for part in (content, content.get("meta") if isinstance(content, Mapping) else None):
        if isinstance(part, Mapping):
            notes |= {str(name): value for name, value in part.items() if type(value) in (str, int, float)}
    return notes


def read_classes(source: str | Path) -> list[str] | None:
    """Read the class names that a training checkpoint stores, in the order of its labels; None if it stores none.

    Raises:
        UserError: see :func:`read_state_dict`.
    """
    content: Any = _load(_local(str(source)))
    for key in ("meta", "dataset_meta", "classes"):
        content = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(content, list | tuple) and content and all(isinstance(name, str) for name in content):
        return list(content)
    return None


def read_training(source: str | Path) -> dict[str, Any]:
    """Read a whole training checkpoint onto the CPU to resume the training: weights, optimizer, counters, log histories.

    It is as safe as :func:`read_state_dict`: NumPy arrays and MMEngine's log histories are rebuilt from plain values. The entry
    ``meta.config`` of older MMEngine versions is removed, because MMEngine would run it.

    Raises:
        UserError: see :func:`read_state_dict`.
    """
    path = _local(str(source))
    content = _load(path, names=recording_globals(), mapped=False)
    if not isinstance(content, dict):
        raise UserError(
            f"checkpoint '{path}' contains a {type(content).__name__} instead of a training state. Give a file that a training "
            "wrote"
        )
    try:
        content = revive(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"checkpoint '{path}' is damaged: it contains {one_line(error)}. Copy it again") from error
    if isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)
    return content


class _MappedFile:
    """Tensors of a file. The memory map is replaced after :data:`_MOST_MAPPED` bytes, which frees its pages."""

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
    """Return the tensors in a file's content, under names without wrappers."""
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    if isinstance(content, Mapping):
        tensors |= _plain_names({str(name): value for name, value in content.items() if isinstance(value, Tensor)}, path)
    if not tensors:
        raise UserError(
            f"checkpoint '{path}' has no weights: expected a dict of names to tensors, or such a dict under one of the keys "
            f"{', '.join(_WRAPPERS)}. Give a file of weights"
        )
    size = sum(file.stat().st_size for file in (read_index(path) if is_index(path) else [path]))
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor, size)]:
        raise UserError(
            f"checkpoint '{path}' is damaged: {list_names(odd)} must be a plain tensor that is not larger than the file. "
            "Download or copy it again"
        )
    if all(tensor.numel() == 0 for tensor in tensors.values()):
        raise UserError(
            f"checkpoint '{path}' has only empty tensors: with ZeRO stage 3, DeepSpeed writes the weights of each process to "
            "another file. Run DeepSpeed's zero_to_fp32.py in the checkpoint's folder, and give the file it writes"
        )
    tensors._metadata = _versions(content)  # type: ignore[attr-defined]
    return tensors


def _versions(content: object) -> dict[str, dict[str, int]]:
    """Return the modules' versions in a state dict's ``_metadata``, if they have the expected types."""
    metadata = getattr(content, "_metadata", None)
    versions = {}
    for name, one in metadata.items() if isinstance(metadata, dict) else ():
        if isinstance(name, str) and isinstance(one, dict) and type(one.get("version")) is int:
            versions[_WRAPPED.sub("", name)] = {"version": one["version"]}
    return versions


def _plain_names(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Remove the parts of names that compiling, sharding and activation checkpointing insert."""
    named = {_WRAPPED.sub("", name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise UserError(f"checkpoint '{path}' has the same tensor twice, inside and outside a wrapper. Remove one of them")
    return named


def _is_plain(tensor: Tensor, file_size: int) -> bool:
    """Return True for a dense tensor of real numbers that fits in the file. With strides, a file could claim any size."""
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
        raise UserError(f"checkpoint '{path}' does not exist. Give the path of a .pth or .safetensors file")
    return path


def _load(path: Path, check: bool = True, names: list[Any] | None = None, mapped: bool = True) -> object:
    if is_index(path):
        return _load_shards(path, check)
    if (problem := identify_file(path)) is not None:
        raise UserError(f"checkpoint '{path}' {problem}")
    try:
        if _is_safetensors(path):
            if check:
                check_safetensors(path)
            return load_file(path)
        # Memory mapping needs the zip format of PyTorch >= 1.6. Older files are read at once; they have no checksums.
        zipped = zipfile.is_zipfile(path)
        if zipped and check:
            check_zip(path)
        with torch.serialization.safe_globals(inert_globals() if names is None else names):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped and mapped)
    except SafetensorError as error:
        raise UserError(
            f"checkpoint '{path}' is damaged or truncated ({one_line(error)}). Download or copy it again"
        ) from error
    except pickle.UnpicklingError as error:
        if match := re.search(r"GLOBAL (\S+) (?:was not an allowed global|whose module)", str(error)):
            raise UserError(
                f"checkpoint '{path}' was refused: it contains a Python object ({one_line(match[1])}), which could run code. "
                "Ask the author for a .safetensors file, or a file of tensors alone"
            ) from error
        # The rest of PyTorch's message advises to disable the protection.
        reason = re.search("WeightsUnpickler error: (.+)", str(error))
        raise UserError(
            f"checkpoint '{path}' is damaged or no checkpoint "
            f"({one_line(reason[1] if reason else 'its pickle contains more than tensors')}). Download or copy it again"
        ) from error
    except _DAMAGE as error:
        raise UserError(
            f"checkpoint '{path}' is damaged, truncated or no checkpoint ({one_line(error) or type(error).__name__}). "
            "Download or copy it again"
        ) from error


def _load_shards(index: Path, check: bool) -> dict[str, object]:
    """Read the files that an index lists, and check that each has exactly the tensors that the index assigns to it."""
    merged: dict[str, object] = {}
    for path, names in read_index(index).items():
        content = _load(path, check)
        if not isinstance(content, Mapping):
            raise UserError(f"checkpoint '{path}' contains a {type(content).__name__}, not named tensors. Copy it again")
        found = set(content)
        if found != names:
            odd = sorted(map(str, found ^ names))
            raise UserError(
                f"checkpoint '{path}' does not match '{index.name}': {list_names(odd)} is in only one of them. Download or "
                "copy all files again"
            )
        merged.update(content)
    return merged


def _is_safetensors(path: Path) -> bool:
    # The format starts with the size of its JSON header, in eight bytes, and the format allows at most 100 MB.
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000
