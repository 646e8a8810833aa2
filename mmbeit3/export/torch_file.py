"""A program as a file of PyTorch's, ``.pt2``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmbeit3.export.verify import Run

__all__ = ["load", "serialize"]


def serialize(program: ExportedProgram, opset: int | None = None, outputs: Sequence[str] = ()) -> bytes:
    """The content of a file that ``torch.export.load`` reads; ``opset`` and ``outputs`` are ONNX's and without meaning here."""
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def load(content: bytes) -> Run:
    """A function that runs such a file's content on the CPU."""
    module = torch.export.load(io.BytesIO(content)).module()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            found = module(*inputs)
        return (found,) if isinstance(found, Tensor) else tuple(found)

    return run
