"""Finding damage that a file's reader would not see: flipped bits in names and weights, and weights that are no numbers."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from mmbeit3.checkpoint.naming import list_names
from mmbeit3.errors import UserError, one_line

__all__ = ["CHECKSUM", "check_finite", "check_safetensors", "check_zip", "is_finite"]

CHECKSUM = "mmbeit3_crc32"
"""Name in a safetensors header's metadata: CRC-32 of the file, its own eight digits taken as zeros. The format has none."""

_CHUNK = 1 << 20
_VECTORISED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_zip(path: Path) -> None:
    """Check a ``.pth`` file of PyTorch's zip format against the checksums in it.

    PyTorch writes checksums and does not look at them. Files saved without (``torch.serialization.set_crc32_options``), where
    not one of them is right, are let pass.

    Raises:
        ValueError: if the file differs from its checksums, or is none that PyTorch writes.
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if len({record.filename for record in records}) < len(records):
            raise ValueError("two of its parts have the same name")
        wrong = []
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its part '{one_line(record.filename)}' is compressed, which PyTorch never does")
            try:
                with archive.open(record) as content:
                    while content.read(_CHUNK):
                        pass
            except zipfile.BadZipFile:
                wrong.append(record.filename)
    if wrong and len(wrong) < len(records):
        raise ValueError(f"its checksums are wrong for {list_names(wrong)}")


def check_safetensors(path: Path) -> None:
    """Check a safetensors file that :func:`~mmbeit3.checkpoint.write_safetensors` wrote; others have no checksum.

    Raises:
        ValueError: if it differs from its checksum.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = file.read(size)
        found = re.search(rb'"%s":"([0-9a-f]{8})"' % CHECKSUM.encode(), head)
        if found is None:
            return
        blanked = head[: found.start(1)] + b"0" * 8 + head[found.end(1) :]
        value = checksum(file, zlib.crc32(blanked, zlib.crc32(size.to_bytes(8, "little"))))
    if value != int(found[1], 16):
        raise ValueError("its checksum is wrong")


def checksum(file: BinaryIO, start: int = 0) -> int:
    """CRC-32 of the rest of an open file, going on from ``start``."""
    while chunk := file.read(_CHUNK):
        start = zlib.crc32(chunk, start)
    return start


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity. Much faster than ``isfinite().all()``: it is run on every load."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # NaN goes through to both ends.
    low, high = torch.aminmax(tensor if tensor.dtype in _VECTORISED else tensor.float())
    return bool(low.isfinite() & high.isfinite())


def check_finite(source: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights that are no numbers, which training that went wrong leaves.

    Raises:
        UserError: naming the first tensors that have NaN or infinity.
    """
    bad = [name for name, tensor in tensors if not is_finite(tensor)]
    if bad:
        raise UserError(
            f"checkpoint {source} has NaN or infinity in {list_names(bad)}: training had gone wrong, take an earlier "
            "checkpoint (or allow_nonfinite=True, --allow-nonfinite)"
        )
