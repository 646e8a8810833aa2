"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) on GPUs, in Triton.

A row is one head of one query. Each program processes a block of rows and loops over their L * P points. For each point it
reads the four cells around it, d adjacent values each. Coordinates, weights and sums are float32 for all dtypes of values.

Triton contains an assembler, so no CUDA toolkit is needed, but it builds its launcher with the system's C compiler. If
``TRITON_INTERPRET=1`` is set before the first import of triton, the same code runs slowly on the CPU, for tests.

:func:`forward` and :func:`backward` are the two halves of an autograd function; autograd does not differentiate them.
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
# Warps per program and channels per thread. The backward pass sums over the threads of a row, which needs no barriers within
# one warp, and adds up to four channels to grad_value in one instruction.
_FORWARD_PLAN, _BACKWARD_PLAN = (4, 8), (1, 4)

if _TRITON:
    import triton
    import triton.language as tl

    @triton.jit
    def _corners(
        locations: tl.tensor, levels: tl.tensor, level: tl.tensor, point: tl.tensor, alive: tl.tensor, real: tl.tensor
    ) -> tuple[tl.tensor, ...]:
        """Find the four cells around points (BLOCK) on a level's map.

        Returns the position between the upper left cell (0) and the right and the lower ones (1), fx and fy; the upper
        left cell's index among all cells; masks (BLOCK, BLOCK_D) of the channels to read in the upper left, upper
        right, lower left and lower right cells; the map's h and w as float32, and w as int32.
        """
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        first = tl.load(levels + 3 * level + 2)
        h = height.to(tl.float32)
        w = width.to(tl.float32)
        x = tl.load(locations + 2 * point, mask=alive, other=0.0) * w - 0.5
        y = tl.load(locations + 2 * point + 1, mask=alive, other=0.0) * h - 0.5
        # Compared as floats, because NaN fails all comparisons: only numbers within the map are converted to integers.
        near = alive & (x >= -1.0) & (x < w) & (y >= -1.0) & (y < h)
        x = tl.where(near, x, 0.0)
        y = tl.where(near, y, 0.0)
        column = tl.floor(x).to(tl.int32)
        row = tl.floor(y).to(tl.int32)
        left, right = near & (column >= 0), near & (column + 1 < width)
        upper, lower = row >= 0, row + 1 < height
        m00, m01 = (left & upper)[:, None] & real, (right & upper)[:, None] & real
        m10, m11 = (left & lower)[:, None] & real, (right & lower)[:, None] & real
        cell = first + row * width + column
        return x - tl.floor(x), y - tl.floor(y), cell, m00, m01, m10, m11, h, w, width

    @triton.jit
    def _block(
        rows: tl.tensor,
        queries: tl.tensor,
        cells: tl.tensor,
        heads: tl.tensor,
        L: tl.constexpr,
        P: tl.constexpr,
        D: tl.constexpr,
        BLOCK: tl.constexpr,
        BLOCK_D: tl.constexpr,
    ) -> tuple[tl.tensor, ...]:
        """Compute the offsets of this program's block of rows.

        Returns masks of the rows (BLOCK) and of the channels (1, BLOCK_D) that exist; offsets of the rows' first points
        (BLOCK); offsets (BLOCK, BLOCK_D) of the rows' channels in the first cell of their image, and in the output.
        """
        row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        batch = row // (queries * heads)
        channel = tl.arange(0, BLOCK_D)[None, :]
        # int64, because there may be more than 2**31 values or coordinates.
        origin = (batch.to(tl.int64) * cells * (heads * D) + row % heads * D)[:, None] + channel
        place = (row.to(tl.int64) * D)[:, None] + channel
        return row < rows, channel < D, row.to(tl.int64) * (L * P), origin, place

    @triton.jit
    def _cells(
        first: tl.tensor,
        width: tl.tensor,
        stride: tl.tensor,
        m00: tl.tensor,
        m01: tl.tensor,
        m10: tl.tensor,
        m11: tl.tensor,
    ) -> tuple[tl.tensor, ...]:
        """Read the four cells around points: upper left (at ``first``), upper right, lower left, lower right, as float32."""
        v00 = tl.load(first, mask=m00, other=0.0).to(tl.float32)  # (BLOCK, BLOCK_D)
        v01 = tl.load(first + stride, mask=m01, other=0.0).to(tl.float32)
        v10 = tl.load(first + width * stride, mask=m10, other=0.0).to(tl.float32)
        v11 = tl.load(first + (width + 1) * stride, mask=m11, other=0.0).to(tl.float32)
        return v00, v01, v10, v11

    @triton.jit(do_not_specialize=["rows", "queries", "cells"])
    def _forward_kernel(
        value: tl.tensor,  # (B, cells, heads, D)
        locations: tl.tensor,  # (rows, L, P, 2)
        weights: tl.tensor,  # (rows, L, P)
        levels: tl.tensor,  # (L, 3), see _levels
        output: tl.tensor,  # (rows, D)
        rows: tl.tensor,
        queries: tl.tensor,
        cells: tl.tensor,
        heads: tl.tensor,
        L: tl.constexpr,
        P: tl.constexpr,
        D: tl.constexpr,
        BLOCK: tl.constexpr,
        BLOCK_D: tl.constexpr,
    ) -> None:
        alive, real, points, origin, place = _block(rows, queries, cells, heads, L, P, D, BLOCK, BLOCK_D)
        stride = heads * D
        total = tl.zeros([BLOCK, BLOCK_D], dtype=tl.float32)
        for level in range(L):
            for p in tl.range(P, loop_unroll_factor=4):
                point = points + level * P + p
                weight = tl.load(weights + point, mask=alive, other=0.0)
                fx, fy, cell, m00, m01, m10, m11, _, _, width = _corners(locations, levels, level, point, alive, real)
                upper_left = origin + (cell.to(tl.int64) * stride)[:, None]
                v00, v01, v10, v11 = _cells(value + upper_left, width, stride, m00, m01, m10, m11)
                total += (weight * (1 - fy) * (1 - fx))[:, None] * v00
                total += (weight * (1 - fy) * fx)[:, None] * v01
                total += (weight * fy * (1 - fx))[:, None] * v10
                total += (weight * fy * fx)[:, None] * v11
        tl.store(output + place, total.to(output.dtype.element_ty), mask=alive[:, None] & real)

    @triton.jit(do_not_specialize=["rows", "queries", "cells"])
    def _backward_kernel(
        value: tl.tensor,
        locations: tl.tensor,
        weights: tl.tensor,
        levels: tl.tensor,
        grad_output: tl.tensor,  # (rows, D)
        grad_value: tl.tensor,  # (B, cells, heads, D), float32, zeros
        grad_locations: tl.tensor,  # (rows, L, P, 2), float32
        grad_weights: tl.tensor,  # (rows, L, P), float32
        rows: tl.tensor,
        queries: tl.tensor,
        cells: tl.tensor,
        heads: tl.tensor,
        L: tl.constexpr,
        P: tl.constexpr,
        D: tl.constexpr,
        BLOCK: tl.constexpr,
        BLOCK_D: tl.constexpr,
    ) -> None:
        alive, real, points, origin, place = _block(rows, queries, cells, heads, L, P, D, BLOCK, BLOCK_D)
        stride = heads * D
        g = tl.load(grad_output + place, mask=alive[:, None] & real, other=0.0).to(tl.float32)
        for level in range(L):
            for p in tl.range(P, loop_unroll_factor=4):
                point = points + level * P + p
                weight = tl.load(weights + point, mask=alive, other=0.0)
                fx, fy, cell, m00, m01, m10, m11, h, w, width = _corners(locations, levels, level, point, alive, real)
                upper_left = origin + (cell.to(tl.int64) * stride)[:, None]
                # Read everything before the additions: the assembler may not move a read past a write.
                v00, v01, v10, v11 = _cells(value + upper_left, width, stride, m00, m01, m10, m11)
                # Dot products of the output's gradient with each cell's values. All gradients of the point follow from them.
                d00 = tl.sum(g * v00, axis=1)
                d01 = tl.sum(g * v01, axis=1)
                d10 = tl.sum(g * v10, axis=1)
                d11 = tl.sum(g * v11, axis=1)
                of_weight = (1 - fy) * ((1 - fx) * d00 + fx * d01) + fy * ((1 - fx) * d10 + fx * d11)
                of_x = weight * w * ((1 - fy) * (d01 - d00) + fy * (d11 - d10))
                of_y = weight * h * ((1 - fx) * (d10 - d00) + fx * (d11 - d01))
                tl.store(grad_weights + point, of_weight, mask=alive)
                tl.store(grad_locations + 2 * point, of_x, mask=alive)
                tl.store(grad_locations + 2 * point + 1, of_y, mask=alive)
                to_cell = grad_value + upper_left
                tl.atomic_add(to_cell, (weight * (1 - fy) * (1 - fx))[:, None] * g, mask=m00, sem="relaxed")
                tl.atomic_add(to_cell + stride, (weight * (1 - fy) * fx)[:, None] * g, mask=m01, sem="relaxed")
                tl.atomic_add(to_cell + width * stride, (weight * fy * (1 - fx))[:, None] * g, mask=m10, sem="relaxed")
                tl.atomic_add(to_cell + (width + 1) * stride, (weight * fy * fx)[:, None] * g, mask=m11, sem="relaxed")


def _interpreted() -> bool:
    # Triton reads TRITON_INTERPRET when it decorates a kernel. Later changes of the variable have no effect.
    return _TRITON and not isinstance(_forward_kernel, triton.JITFunction)


@functools.lru_cache(maxsize=1)
def _missing_build_tool() -> str | None:
    """Return which tool Triton lacks to build its launcher, or None. Triton itself reports this only at the first launch."""
    if os.name != "posix":
        return None
    if not any(map(shutil.which, [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"])):
        return "Triton needs a C compiler and found none: install gcc or clang, or set CC"
    # Debian's default scheme gives a folder without the headers.
    header = Path(sysconfig.get_path("include", "posix_prefix"), "Python.h")
    return None if header.is_file() else f"Triton needs Python's C headers, but {header} is missing"


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return in one line why this kernel does not support a dtype on a device, or None if it does.

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
    return _missing_build_tool()


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of values sampled at given points. Deterministic.

    Sampling is bilinear between cell centres (``align_corners=False``), zero outside of a map; NaN coordinates count as
    outside. The device is synchronised only at the first call with a list of shapes.

    Args:
        value: (B, S, heads, d) in float32, float16 or bfloat16, the cells of each level row-major, levels concatenated.
        shapes: (h, w) of each of L levels in cells.
        locations: (B, Q, heads, L, P, 2) in float32, (x, y) with 0 to 1 spanning the level's map.
        weights: (B, Q, heads, L, P) in float32.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if shapes, dtypes or devices do not match, or a tensor is too large.
        RuntimeError: if the kernels cannot be used, see :func:`unavailable`.
    """
    _check(value, shapes, locations, weights)
    B, Q, heads = locations.shape[:3]
    output = value.new_empty(B, Q, heads * value.shape[3])
    _launch(_forward_kernel, _FORWARD_PLAN, value, shapes, locations, weights, output)
    return output


def backward(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of :func:`forward`.

    Those of locations and weights are deterministic. That of value is summed in float32 by atomic additions, whose order varies
    between runs, and with it the last bits of the sum.

    Args:
        value, shapes, locations, weights: see :func:`forward`.
        grad_output: (B, Q, heads * d), the gradient of the output.

    Returns:
        The gradients of value (in its dtype), locations and weights (float32), with the shapes of these tensors.

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
    _launch(_backward_kernel, _BACKWARD_PLAN, value, shapes, locations, weights, *tensors)
    return grad_value.to(value.dtype), grad_locations, grad_weights


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    """Check shapes, dtypes and devices, since a kernel would read or write out of bounds."""
    if reason := unavailable(value.device, value.dtype):
        raise RuntimeError(reason)
    matches = value.ndim == 4 and value.shape[3] > 0 and locations.ndim == 6 and sum(h * w for h, w in shapes) == value.shape[1]
    if matches:
        wanted = (value.shape[0], locations.shape[1], value.shape[2], len(shapes), locations.shape[4])
        matches = locations.shape == (*wanted, 2) and weights.shape == wanted
    if not matches:
        raise ValueError(
            f"deformable attention: value {tuple(value.shape)}, shapes {shapes}, locations {tuple(locations.shape)} "
            f"and weights {tuple(weights.shape)} do not match"
        )
    for tensor in (locations, weights):
        if tensor.dtype != torch.float32 or tensor.device != value.device:
            got = f"{tensor.dtype} on {tensor.device}"
            raise ValueError(f"deformable attention: locations and weights must be float32 on {value.device}, got {got}")
    # Rows and cells are counted in int32, with room for the last block.
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
    # At most half as many rows as threads: Triton then lets each thread read its own coordinates. With more rows it distributes
    # these reads over the threads and exchanges the numbers through shared memory.
    block = min(max(32 * warps * channels // block_d, 1), 16 * warps)
    levels = _levels(tuple((h, w) for h, w in shapes), value.device)
    # Triton launches on the current device, which need not be the tensors'.
    with torch.cuda.device_of(value):
        kernel[(triton.cdiv(rows, block),)](
            value.contiguous(), locations.contiguous(), weights.contiguous(), levels, *others, rows, Q, S, heads,
            L=L, P=P, D=d, BLOCK=block, BLOCK_D=block_d, num_warps=max(warps, min(block_d // 256, 8)),
        )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _levels(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Return height, width and first cell of each level, (L, 3) int32 on the device."""
    table, first = [], 0
    for h, w in shapes:
        table.append((h, w, first))
        first += h * w
    return torch.tensor(table, dtype=torch.int32, device=device)
