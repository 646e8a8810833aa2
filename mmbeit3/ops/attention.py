"""Softmax attention: PyTorch's, or on CPUs without gradients a compiled C kernel (``ops/csrc/attention.c``).

PyTorch's CPU kernel multiplies with MKL, which uses only half of the vector width on processors of other makers than Intel, and
is hardly faster in bfloat16 than in float32.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops.compiled import CompileError, load_library
from mmbeit3.ops.exporting import portable
from mmbeit3.ops.log import log_once

__all__ = ["attend"]

_DTYPES = (torch.float32, torch.bfloat16)
_MAX_DIMS = 256
_LEAST_KEYS = 32
_Strides = ctypes.c_int64 * 3


class _Problem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "heads", "queries", "keys", "dims")),
        *((name, _Strides) for name in ("q_strides", "k_strides", "v_strides")),
        ("half", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("scale", ctypes.c_double),
    ]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute softmax attention, with scores divided by the square root of the head dimension.

    Args:
        q: (B, heads, N, d).
        k, v: (B, heads, M, d).
        mask: boolean, broadcastable to (B, heads, N, M); True = may attend.

    Returns:
        (B, heads, N, d), laid out as (B, N, heads, d) in memory.
    """
    if mask is None and _use_c_kernel(q, k, v):
        return torch.ops.mmbeit3.attention(q, k, v).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _use_c_kernel(q: Tensor, k: Tensor, v: Tensor) -> bool:
    if portable() or q.device.type != "cpu" or q.dtype not in _DTYPES or not q.dtype == k.dtype == v.dtype:
        return False
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        return False
    return q.shape[-1] <= _MAX_DIMS and k.shape[2] >= _LEAST_KEYS and q.shape[2] > 1 and _compiled()


@torch.compiler.assume_constant_result
def _compiled() -> bool:
    return _load()


@cache
def _load() -> bool:
    try:
        load_library("attention").attention_workspace.restype = ctypes.c_int64
    except CompileError as error:
        log_once(f"attention on CPUs uses PyTorch's kernel: {error}")
        return False
    return True


@torch.library.custom_op("mmbeit3::attention", mutates_args=())
def _attention_op(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t if t.stride(-1) == 1 else t.contiguous() for t in (q, k, v))
    B, heads, N, d = q.shape
    out = q.new_empty(B, N, heads, d)
    strides = [_Strides(*t.stride()[:3]) for t in (q, k, v)]
    half = int(q.dtype == torch.bfloat16)
    problem = _Problem(B, heads, N, k.shape[2], d, *strides, half, torch.get_num_threads(), 1 / math.sqrt(d))
    library = load_library("attention")
    workspace = torch.empty(library.attention_workspace(ctypes.byref(problem)), dtype=torch.float32)
    library.attention(ctypes.byref(problem), *(ctypes.c_void_p(t.data_ptr()) for t in (q, k, v, out, workspace)))
    return out


@_attention_op.register_fake
def _attention_fake(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    B, heads, N, d = q.shape
    return q.new_empty(B, N, heads, d)
