"""Writing of checkpoints one tensor at a time, so that they need not fit in memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmbeit3.checkpoint.integrity import CHECKSUM, is_finite
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.errors import UserError, one_line
from mmbeit3.files import atomic_file

__all__ = ["write_checkpoint", "write_safetensors"]

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_checkpoint(
    tensors: Mapping[str, Tensor | LazyTensor], path: str | Path, wrapper: str | None = None, allow_nonfinite: bool = False
) -> None:
    """Write a ``.safetensors`` file, or a ``.pth`` file of PyTorch. The path gets a complete file or none.

    Args:
        tensors: names to tensors; dtypes are kept.
        path: the file; its suffix selects the format. A ``.pth`` needs memory for all tensors.
        wrapper: for ``.pth``, the key of the weights in the file (``'model'`` in official files), or None for no wrapper.
        allow_nonfinite: write NaN and infinity as well.

    Raises:
        UserError: if the suffix or a dtype is not supported, or weights are NaN or infinite.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        write_safetensors(tensors, path, allow_nonfinite=allow_nonfinite)
    elif path.suffix in (".pth", ".pt"):
        # torch.save writes a tensor's whole storage. A clone has a storage of its size, and does not keep the source file open.
        state = {name: _load(name, tensor, allow_nonfinite).clone() for name, tensor in tensors.items()}
        with atomic_file(path) as file:
            torch.save(state if wrapper is None else {wrapper: state}, file)
    else:
        raise UserError(f"cannot write '{path}': its suffix must be .safetensors or .pth. Choose one of these")


def write_safetensors(
    tensors: Mapping[str, Tensor | LazyTensor],
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> None:
    """Write a safetensors file with a checksum, with one tensor in memory at a time. The path gets a complete file or none.

    Args:
        tensors: names to tensors; dtypes are kept.
        path: the file.
        metadata: additional entries for the header's metadata.
        allow_nonfinite: write NaN and infinity as well.

    Raises:
        UserError: if a dtype is not supported, or weights are NaN or infinite.
    """
    # Types with large items first, so that each tensor starts at a multiple of its item size.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt", CHECKSUM: "0" * 8, **(metadata or {})}}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].shape.numel() * tensors[name].dtype.itemsize
        header[name] = {
            "dtype": _dtype_name(name, tensors[name].dtype),
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    try:
        head = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError("safetensors cannot store a name that is not valid Unicode. Write a .pth file instead") from error
    head += b" " * (-len(head) % 8)
    head = len(head).to_bytes(8, "little") + head
    with atomic_file(path) as file:
        file.write(head)
        checksum = zlib.crc32(head)
        for name in order:
            flat = _load(name, tensors[name], allow_nonfinite).contiguous().reshape(-1)
            content = flat.view(torch.uint8).numpy().data
            file.write(content)
            checksum = zlib.crc32(content, checksum)
        # The checksum was computed with zeros in its place, see integrity.CHECKSUM.
        file.seek(head.index(b"0" * 8, head.index(CHECKSUM.encode())))
        file.write(f"{checksum:08x}".encode())


def _load(name: str, tensor: Tensor | LazyTensor, allow_nonfinite: bool) -> Tensor:
    loaded = tensor.load() if isinstance(tensor, LazyTensor) else tensor.detach().cpu()
    if not allow_nonfinite and not is_finite(loaded):
        raise UserError(
            f"checkpoint has NaN or infinity in {one_line(name)}: the training had failed. Use an earlier checkpoint, or "
            "accept these weights by allow_nonfinite=True (--allow-nonfinite)"
        )
    return loaded


def _dtype_name(name: str, dtype: torch.dtype) -> str:
    if dtype not in _DTYPES:
        raise UserError(f"safetensors does not support the type of {one_line(name)}, {dtype}. Write a .pth file instead")
    return _DTYPES[dtype]
