"""PyTorch's ``.pt2`` files: write a traced program, and run a file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmbeit3.export.verify import Run

__all__ = ["load", "serialize"]


def serialize(program: ExportedProgram, opset: int | None = None, outputs: Sequence[str] = ()) -> bytes:
    """Return the content of a file for ``torch.export.load``. ``opset`` and ``outputs`` are for ONNX only and ignored."""
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def load(content: bytes) -> Run:
    """Return a function that runs the content of a ``.pt2`` file on the CPU."""
    module = torch.export.load(io.BytesIO(content)).module()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            outputs = module(*inputs)
        return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)

    return run
