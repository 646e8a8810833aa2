"""ONNX files: write a traced program, and run a file with ONNX Runtime."""

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
"""Supported versions of the ONNX operators; the default is the first, which has Gelu and GridSample as in PyTorch."""

_AXES = {
    "image": ("batch", None, "height", "width"),
    "image2": ("batch", None, "height", "width"),
    "tokens": ("batch", "length"),
    "padding_mask": ("batch", "length"),
}
"""Names of the dynamic dimensions of each input; None for fixed ones."""

_MAX_BYTES = 2**31 - 2**20
"""Largest size of the weights: an ONNX file is a protobuf message of at most 2 GiB, less 1 MiB for the graph."""


def check(model: nn.Module, opset: int | None) -> None:
    """Check that a model can be written as an ONNX file.

    Raises:
        UserError: if packages are missing, the opset is not supported, or the weights exceed the limit of an ONNX file.
    """
    _require()
    if opset is not None and opset not in OPSETS:
        raise UserError(f"ONNX opset {opset} is not supported: choose one from {OPSETS[0]} to {OPSETS[-1]}")
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    if weights > _MAX_BYTES:
        raise UserError(f"an ONNX file holds at most 2 GB, but the weights have {weights / 1e9:.1f} GB: use --to torch")


def _require() -> None:
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise UserError(f"export to ONNX needs {', '.join(missing)}, which cannot be imported: pip install 'mmbeit3[export]'")


def serialize(program: ExportedProgram, opset: int | None = None, outputs: Sequence[str] = ()) -> bytes:
    """Return the content of an ONNX file; its inputs have the names of the program's inputs, such as ``image``.

    Args:
        program: a program from :func:`mmbeit3.export.trace` or :func:`mmbeit3.export.trace_task`, of a model that passes
            :func:`check`.
        opset: one of :data:`OPSETS`; default the first.
        outputs: names of the outputs; default ``map0``, ``map1``, …
    """
    inputs = [str(name) for name in program.graph_signature.user_inputs]
    names = list(outputs) or [f"map{index}" for index in range(len(program.graph_signature.user_outputs))]
    with warnings.catch_warnings():
        # PyTorch warns about its own use of a deprecated tree module.
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=opset or OPSETS[0], input_names=inputs, output_names=names, verbose=False
        )
    assert exported is not None
    proto = exported.model_proto
    for node in proto.graph.node:
        # The metadata contains source code and local file paths: keep them out of the file.
        del node.metadata_props[:]
    _name_dimensions(proto.graph)
    return proto.SerializeToString()


def _name_dimensions(graph: Any) -> None:
    """Replace the numbered symbols of dynamic dimensions, such as ``s77``, by their names, also inside of expressions."""
    names = {
        dim.dim_param: name
        for value in graph.input
        for dim, name in zip(value.type.tensor_type.shape.dim, _AXES[value.name], strict=True)
        if dim.dim_param and name
    }
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda symbol: names.get(symbol[0], symbol[0]), dim.dim_param)


def load(content: bytes) -> Run:
    """Return a function that runs the content of an ONNX file with ONNX Runtime on the CPU, with PyTorch's number of threads.

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
        feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(output) for output in session.run(None, feeds))

    return run
