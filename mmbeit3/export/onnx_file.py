"""A program as an ONNX file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from mmbeit3.errors import UserError
from mmbeit3.export.verify import Run

__all__ = ["OPSETS", "check", "load", "serialize"]

OPSETS = range(20, 24)
"""Versions of ONNX's operators that can be written, the first by default: it has GELU and PyTorch's sampling of maps."""

_AXES = {
    "image": ("batch", None, "height", "width"),
    "image2": ("batch", None, "height", "width"),
    "tokens": ("batch", "length"),
    "padding_mask": ("batch", "length"),
}
"""What the sizes of inputs are called where they are open."""

_MOST_BYTES = 2**31 - 2**20


def check(backbone: nn.Module, opset: int | None) -> None:
    """Check that a backbone can be written as ONNX here.

    Raises:
        UserError: if packages are missing, there is no such opset, or the weights are more than an ONNX file can hold.
    """
    _require()
    if opset is not None and opset not in OPSETS:
        raise UserError(f"ONNX opset {opset} cannot be written: choose one from {OPSETS[0]} to {OPSETS[-1]}")
    weights = sum(tensor.nbytes for tensor in backbone.state_dict().values())
    if weights > _MOST_BYTES:
        raise UserError(f"an ONNX file holds 2 GB and these weights are {weights / 1e9:.1f} GB: use --to torch")


def _require() -> None:
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise UserError(f"{', '.join(missing)} cannot be imported, which ONNX needs: pip install 'mmbeit3[export]'")


def serialize(program: ExportedProgram, opset: int | None = None, outputs: Sequence[str] = ()) -> bytes:
    """The content of an ONNX file; its inputs have the program's names, such as ``image``.

    Args:
        program: what :func:`mmbeit3.export.trace` gave of a backbone that :func:`check` let pass, or
            :func:`mmbeit3.export.trace_task` of a part of a task's model.
        opset: one of :data:`OPSETS`; default the first.
        outputs: names; default ``map0``, ``map1``, …
    """
    inputs = [str(name) for name in program.graph_signature.user_inputs]
    names = list(outputs) or [f"map{index}" for index in range(len(program.graph_signature.user_outputs))]
    with warnings.catch_warnings():
        # About PyTorch's own use of its tree module.
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=opset or OPSETS[0], input_names=inputs, output_names=names, verbose=False
        )
    assert exported is not None
    proto = exported.model_proto
    for node in proto.graph.node:
        # Where each operator was called: lines of code, and paths of the machine.
        del node.metadata_props[:]
    _name_sides(proto.graph)
    return proto.SerializeToString()


def _name_sides(graph: Any) -> None:
    """Write the open sizes by their names where a traced program has numbered symbols."""
    names = {
        side.dim_param: name
        for value in graph.input
        for side, name in zip(value.type.tensor_type.shape.dim, _AXES[value.name], strict=True)
        if side.dim_param and name
    }
    for value in (*graph.input, *graph.output, *graph.value_info):
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param:
                side.dim_param = re.sub(r"\w+", lambda symbol: names.get(symbol[0], symbol[0]), side.dim_param)


def load(content: bytes) -> Run:
    """A function that runs such a file's content by ONNX Runtime on the CPU, with as many threads as PyTorch.

    Raises:
        UserError: if ONNX Runtime is missing.
    """
    _require()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    names = [value.name for value in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(output) for output in session.run(None, given))

    return run
