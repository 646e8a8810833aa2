"""Detection of damage that file readers do not notice: flipped bits in names and weights, NaN and infinite weights."""

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
"""Key in a safetensors header's metadata: CRC-32 of the file with zeros in place of the value. The format has no checksum."""

_CHUNK = 1 << 20
_VECTORISED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_zip(path: Path) -> None:
    """Check a ``.pth`` file in PyTorch's zip format against the checksums in it.

    PyTorch writes checksums but does not check them. A file saved without checksums
    (``torch.serialization.set_crc32_options``) has wrong values everywhere. Such a file is accepted.

    Raises:
        ValueError: if a checksum is wrong, or the archive is not one that PyTorch writes.
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if len({record.filename for record in records}) < len(records):
            raise ValueError("two of its records have the same name")
        wrong = []
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its record '{one_line(record.filename)}' is compressed, but PyTorch never compresses")
            try:
                # zipfile compares the checksum at the end of a record.
                with archive.open(record) as content:
                    while content.read(_CHUNK):
                        pass
            except zipfile.BadZipFile:
                wrong.append(record.filename)
    if wrong and len(wrong) < len(records):
        raise ValueError(f"its checksums are wrong for {list_names(wrong)}")


def check_safetensors(path: Path) -> None:
    """Check a safetensors file from :func:`~mmbeit3.checkpoint.write_safetensors`. Other safetensors have no checksum.

    Raises:
        ValueError: if the checksum is wrong.
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
    """Compute the CRC-32 of the rest of an open file, continuing from ``start``."""
    while chunk := file.read(_CHUNK):
        start = zlib.crc32(chunk, start)
    return start


def is_finite(tensor: Tensor) -> bool:
    """Return True if a tensor has neither NaN nor infinity. It is much faster than ``isfinite().all()``."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # aminmax returns NaN if any element is NaN.
    low, high = torch.aminmax(tensor if tensor.dtype in _VECTORISED else tensor.float())
    return bool(low.isfinite() & high.isfinite())


def check_finite(source: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse NaN and infinite weights, the result of a failed training.

    Args:
        source: the checkpoint, for messages.
        tensors: names and tensors.

    Raises:
        UserError: if a weight is NaN or infinite. The message lists the first such tensors.
    """
    bad = [name for name, tensor in tensors if not is_finite(tensor)]
    if bad:
        raise UserError(
            f"checkpoint {source} has NaN or infinity in {list_names(bad)}: the training had failed. Use an earlier "
            "checkpoint, or accept these weights by allow_nonfinite=True (--allow-nonfinite)"
        )
