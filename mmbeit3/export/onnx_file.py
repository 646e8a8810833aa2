"""A program as an ONNX file."""

from __future__ import annotations

import re
import warnings
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


def serialize(program: ExportedProgram, opset: int | None = None) -> bytes:
    """The content of an ONNX file of one input ``image`` and outputs ``map0``, ``map1``, …

    Args:
        program: what :func:`mmbeit3.export.trace` gave of a backbone that :func:`check` let pass.
        opset: one of :data:`OPSETS`; default the first.
    """
    outputs = [f"map{index}" for index in range(len(program.graph_signature.user_outputs))]
    with warnings.catch_warnings():
        # About PyTorch's own use of its tree module.
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=opset or OPSETS[0], input_names=["image"], output_names=outputs, verbose=False
        )
    assert exported is not None
    proto = exported.model_proto
    for node in proto.graph.node:
        # Where each operator was called: lines of code, and paths of the machine.
        del node.metadata_props[:]
    _name_sides(proto.graph)
    return proto.SerializeToString()


def _name_sides(graph: Any) -> None:
    """Write the open sizes as ``batch``, ``height`` and ``width`` where a traced program has numbered symbols."""
    batch, _, height, width = (side.dim_param for side in graph.input[0].type.tensor_type.shape.dim)
    names = {batch: "batch", height: "height", width: "width"}
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

    def run(image: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(output) for output in session.run(None, {"image": image.numpy()}))

    return run
