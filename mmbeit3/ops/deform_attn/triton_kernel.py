"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) on GPUs, with Triton.

Triton contains its own assembler, so no CUDA toolkit is needed, but it builds its launcher with the system's C compiler. If
``TRITON_INTERPRET=1`` is set before the first import of triton, the same code runs slowly on the CPU, for tests.

:func:`forward` and :func:`backward` are the two halves of an autograd function and are not differentiable themselves.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["backward", "forward", "unavailable"]

_TRITON = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Warps per program and channels per thread. The backward kernel sums over the threads of a row, which needs no barriers
# within one warp, and adds up to four channels to grad_value in one instruction.
_FORWARD_PLAN, _BACKWARD_PLAN = (4, 8), (1, 4)

if _TRITON:
    import triton

    from mmbeit3.ops.deform_attn.triton_code import backward_kernel, forward_kernel


def _interpreted() -> bool:
    # Triton reads TRITON_INTERPRET when it decorates a kernel; later changes have no effect.
    return _TRITON and not isinstance(forward_kernel, triton.JITFunction)


@functools.lru_cache(maxsize=1)
def _unbuildable() -> str | None:
    # Checked in advance, because Triton fails only at the first launch.
    if os.name != "posix":
        return None
    if not any(map(shutil.which, [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"])):
        return "Triton needs a C compiler (gcc, clang or the value of CC), and none is installed"
    # Debian's default scheme names a folder without the headers.
    header = Path(sysconfig.get_path("include", "posix_prefix"), "Python.h")
    return None if header.is_file() else f"Triton needs Python's C headers, but {header} is missing"


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return in one line why the kernels do not support a dtype on a device, or None if they do.

    Triton's interpreter supports every device.
    """
    if not _TRITON:
        return "triton is not installed"
    if dtype not in _DTYPES:
        return f"the Triton kernels support float32, float16 and bfloat16, not {dtype}"
    if _interpreted():
        return None
    if device.type != "cuda":
        return f"the Triton kernels run on CUDA devices, not on {device.type}"
    return _unbuildable()


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of values sampled at given points. Deterministic.

    Sampling is bilinear between cell centres (``align_corners=False``) and zero outside of a map; NaN points are outside. The
    device is synchronised only when a list of shapes is used for the first time.

    Args:
        value: (B, S, heads, d) in float32, float16 or bfloat16, the cells of all levels concatenated, row-major.
        shapes: (h, w) of each of L levels in cells.
        locations: (B, Q, heads, L, P, 2) in float32, (x, y), normalised to 0-1 over the level's map.
        weights: (B, Q, heads, L, P) in float32.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if shapes, dtypes or devices do not match, or a tensor is too large.
        RuntimeError: if the kernels are not available, see :func:`unavailable`.
    """
    _check(value, shapes, locations, weights)
    B, Q, heads = locations.shape[:3]
    output = value.new_empty(B, Q, heads * value.shape[3])
    _launch(forward_kernel, _FORWARD_PLAN, value, shapes, locations, weights, output)
    return output


def backward(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of :func:`forward`.

    The gradients of locations and weights are deterministic. The gradient of value is summed in float32 with atomic
    additions. Their order varies between runs, and so do the last bits of the sum.

    Args:
        value, shapes, locations, weights: as for :func:`forward`.
        grad_output: (B, Q, heads * d), the gradient of the output.

    Returns:
        The gradients of value (in its dtype), locations and weights (float32), in the same shapes.

    Raises:
        ValueError, RuntimeError: see :func:`forward`.
    """
    _check(value, shapes, locations, weights)
    wanted = (*locations.shape[:2], locations.shape[2] * value.shape[3])
    if grad_output.shape != wanted or grad_output.device != value.device:
        raise ValueError(
            f"deformable attention: grad_output must be {wanted} on {value.device}, "
            f"got {tuple(grad_output.shape)} on {grad_output.device}"
        )
    grad_value = torch.zeros(value.shape, dtype=torch.float32, device=value.device)
    grad_locations = torch.empty(locations.shape, dtype=torch.float32, device=value.device)
    grad_weights = torch.empty(weights.shape, dtype=torch.float32, device=value.device)
    tensors = (grad_output.contiguous(), grad_value, grad_locations, grad_weights)
    _launch(backward_kernel, _BACKWARD_PLAN, value, shapes, locations, weights, *tensors)
    return grad_value.to(value.dtype), grad_locations, grad_weights


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    """Refuse tensors that the kernels would access out of bounds."""
    if reason := unavailable(value.device, value.dtype):
        raise RuntimeError(reason)
    fits = value.ndim == 4 and value.shape[3] > 0 and locations.ndim == 6 and sum(h * w for h, w in shapes) == value.shape[1]
    if fits:
        wanted = (value.shape[0], locations.shape[1], value.shape[2], len(shapes), locations.shape[4])
        fits = locations.shape == (*wanted, 2) and weights.shape == wanted
    if not fits:
        raise ValueError(
            f"deformable attention: value {tuple(value.shape)}, shapes {shapes}, locations {tuple(locations.shape)} "
            f"and weights {tuple(weights.shape)} do not match"
        )
    for tensor in (locations, weights):
        if tensor.dtype != torch.float32 or tensor.device != value.device:
            got = f"{tensor.dtype} on {tensor.device}"
            raise ValueError(f"deformable attention: locations and weights must be float32 on {value.device}, got {got}")
    # Rows and cells are int32, with a margin for the last block.
    if max(locations.shape[:3].numel(), value.shape[1]) > 2**31 - 2048:
        raise ValueError(f"deformable attention: too many queries or cells, {locations.shape[:3]} and {value.shape[:2]}")


def _launch(
    kernel: Any,
    plan: tuple[int, int],
    value: Tensor,
    shapes: list[tuple[int, int]],
    locations: Tensor,
    weights: Tensor,
    *others: Tensor,
) -> None:
    (_, S, heads, d), (warps, channels) = value.shape, plan
    B, Q, _, L, P, _ = locations.shape
    rows = B * Q * heads
    if rows == 0:
        return
    block_d = triton.next_power_of_2(d)
    # At most half as many rows as threads: each thread then reads its own coordinates. With more rows, Triton distributes
    # these reads over the threads and exchanges the numbers through shared memory.
    block = min(max(32 * warps * channels // block_d, 1), 16 * warps)
    levels = _levels(tuple((h, w) for h, w in shapes), value.device)
    # Triton launches on the current device, which may differ from the tensors' device.
    with torch.cuda.device_of(value):
        kernel[(triton.cdiv(rows, block),)](
            value.contiguous(), locations.contiguous(), weights.contiguous(), levels, *others, rows, Q, S, heads,
            L=L, P=P, D=d, BLOCK=block, BLOCK_D=block_d, num_warps=max(warps, min(block_d // 256, 8)),
        )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _levels(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Return height, width and first cell of each level: (L, 3) in int32 on the device."""
    table, first = [], 0
    for h, w in shapes:
        table.append((h, w, first))
        first += h * w
    return torch.tensor(table, dtype=torch.int32, device=device)
