"""Deformable attention on CPUs with a compiled C kernel (``ops/csrc/deform_attn.c``).

Both passes are deterministic for any number of threads, because sums are computed in float32 in a fixed order. Each thread
processes whole heads, so up to B * heads threads are used.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from mmbeit3.ops.compiled import CompileError, load_library

__all__ = ["backward", "forward", "unavailable"]

_DTYPES = (torch.float32, torch.bfloat16)
_MAX_DIMS = 1024


class _Problem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "cells", "heads", "dims", "queries", "levels", "points")),
        ("shapes", ctypes.c_void_p),
        ("half", ctypes.c_int64),
        ("threads", ctypes.c_int64),
    ]


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return in one line why this kernel does not support a dtype on a device, or None if it does."""
    if device.type != "cpu":
        return f"the CPU kernel cannot reach {device.type} memory"
    if dtype not in _DTYPES:
        return f"the CPU kernel supports float32 and bfloat16, not {dtype}"
    return _not_compiled()


@cache
def _not_compiled() -> str | None:
    try:
        load_library("deform_attn")
    except CompileError as error:
        return str(error)
    return None


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of values sampled at given points, see :func:`mmbeit3.ops.ms_deform_attn`.

    Args:
        value: (B, S, heads, d), float32 or bfloat16, d at most 1024.
        shapes: (h, w) of each level.
        locations: (B, Q, heads, L, P, 2), float32.
        weights: (B, Q, heads, L, P), float32.

    Returns:
        (B, Q, heads * d), in the dtype of ``value``.
    """
    value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
    B, Q = locations.shape[:2]
    out = value.new_empty(B, Q, value.shape[2] * value.shape[3])
    problem, _sizes = _problem(value, shapes, locations)
    workspace = _workspace(problem, 1)
    buffers = _addresses(value, locations, weights, out, workspace)
    load_library("deform_attn").deform_attn_forward(ctypes.byref(problem), *buffers)
    return out


def backward(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ``value`` (in its dtype), ``locations`` and ``weights`` (float32)."""
    value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
    grad_output = grad_output.to(value.dtype).contiguous()
    gradients = torch.empty_like(value), torch.empty_like(locations), torch.empty_like(weights)
    problem, _sizes = _problem(value, shapes, locations)
    workspace = _workspace(problem, 2)
    buffers = _addresses(value, locations, weights, grad_output, *gradients, workspace)
    load_library("deform_attn").deform_attn_backward(ctypes.byref(problem), *buffers)
    return gradients


def _problem(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor) -> tuple[_Problem, ctypes.Array[ctypes.c_int64]]:
    """Return the C struct of a call, and the array that it points to, which the caller must keep alive."""
    B, S, heads, d = value.shape
    if d > _MAX_DIMS:
        raise ValueError(f"the CPU kernel of deformable attention supports at most {_MAX_DIMS} channels per head, got {d}")
    _, Q, _, L, P, _ = locations.shape
    sizes = (ctypes.c_int64 * (2 * L))(*(side for shape in shapes for side in shape))
    half = int(value.dtype == torch.bfloat16)
    threads = max(1, min(torch.get_num_threads(), B * heads))
    return _Problem(B, S, heads, d, Q, L, P, ctypes.addressof(sizes), half, threads), sizes


def _workspace(problem: _Problem, maps: int) -> Tensor:
    """Allocate memory for one head's values (and gradients) per thread."""
    return torch.empty(maps * problem.threads * problem.cells * problem.dims)


def _addresses(*tensors: Tensor) -> list[ctypes.c_void_p]:
    """Return the addresses of tensors. The caller must keep them alive."""
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
