"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) on GPUs, in Triton.

A row is one head of one query; each program takes a block of rows and walks over their L * P points. A point reads the
four cells around it, d values next to each other. Coordinates, weights and sums are float32 whatever the values' type.

Triton brings its own assembler, so no CUDA toolkit is needed, but it builds its launcher with the system's C compiler.
With ``TRITON_INTERPRET=1`` set before the first import of triton the same code runs on the CPU, slowly, for tests.

Not differentiable by itself: :func:`forward` and :func:`backward` are the two halves of an autograd function.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from typing import Any

import torch
from torch import Tensor

__all__ = ["backward", "forward", "unavailable"]

_TRITON = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_WARPS = 4
# Values of a block of (rows, d): eight a thread.
_BLOCK_VALUES = 1024
# Fewer rows than threads, so that Triton lets each thread read the coordinates it needs itself; with as many rows as
# threads it spreads these reads over the threads and passes the numbers on through shared memory.
_MAX_ROWS = 64

if _TRITON:
    import triton
    import triton.language as tl

    @triton.jit
    def _corners(
        locations: tl.tensor, levels: tl.tensor, level: tl.tensor, point: tl.tensor, alive: tl.tensor
    ) -> tuple[tl.tensor, ...]:
        """Where points (BLOCK) fall on a level's map.

        Returns the position right of and below the upper left cell (fx, fy), 0 to 1; that cell's number among all
        cells; which of the four cells (upper left, upper right, lower left, lower right) are on the map; the map's
        (h, w) as float32 and w as int32.
        """
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        first = tl.load(levels + 3 * level + 2)
        h = height.to(tl.float32)
        w = width.to(tl.float32)
        x = tl.load(locations + 2 * point, mask=alive, other=0.0) * w - 0.5
        y = tl.load(locations + 2 * point + 1, mask=alive, other=0.0) * h - 0.5
        # Compared as floats: NaN is nowhere near a map, and only numbers of its size are made integers.
        near = alive & (x >= -1.0) & (x < w) & (y >= -1.0) & (y < h)
        x = tl.where(near, x, 0.0)
        y = tl.where(near, y, 0.0)
        column = tl.floor(x).to(tl.int32)
        row = tl.floor(y).to(tl.int32)
        left = near & (column >= 0)
        right = near & (column + 1 < width)
        upper = row >= 0
        lower = row + 1 < height
        cell = first + row * width + column
        return (
            x - tl.floor(x), y - tl.floor(y), cell, left & upper, right & upper, left & lower, right & lower, h, w, width
        )  # fmt: skip

    @triton.jit(do_not_specialize=["rows", "queries", "cells"])
    def _forward_kernel(
        value: tl.tensor,  # (B, cells, heads, D)
        locations: tl.tensor,  # (rows, L, P, 2)
        weights: tl.tensor,  # (rows, L, P)
        levels: tl.tensor,  # (L, 3)
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
        """Fill ``output`` (rows, D)."""
        row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        alive = row < rows
        batch = row // (queries * heads)
        channel = tl.arange(0, BLOCK_D)[None, :]
        real = channel < D
        stride = heads * D
        # int64, since all values together, and all coordinates, may be more than 2**31.
        origin = value + (batch.to(tl.int64) * cells * stride + row % heads * D)[:, None] + channel
        points = row.to(tl.int64) * (L * P)
        total = tl.zeros([BLOCK, BLOCK_D], dtype=tl.float32)
        for level in range(L):
            for p in tl.static_range(P):
                point = points + level * P + p
                weight = tl.load(weights + point, mask=alive, other=0.0)
                fx, fy, cell, m00, m01, m10, m11, _, _, width = _corners(locations, levels, level, point, alive)
                upper_left = origin + (cell.to(tl.int64) * stride)[:, None]
                v00 = tl.load(upper_left, mask=m00[:, None] & real, other=0.0).to(tl.float32)
                v01 = tl.load(upper_left + stride, mask=m01[:, None] & real, other=0.0).to(tl.float32)
                v10 = tl.load(upper_left + width * stride, mask=m10[:, None] & real, other=0.0).to(tl.float32)
                v11 = tl.load(upper_left + (width + 1) * stride, mask=m11[:, None] & real, other=0.0).to(tl.float32)
                total += (weight * (1 - fy) * (1 - fx))[:, None] * v00
                total += (weight * (1 - fy) * fx)[:, None] * v01
                total += (weight * fy * (1 - fx))[:, None] * v10
                total += (weight * fy * fx)[:, None] * v11
        place = output + (row.to(tl.int64) * D)[:, None] + channel
        tl.store(place, total.to(output.dtype.element_ty), mask=alive[:, None] & real)

    @triton.jit(do_not_specialize=["rows", "queries", "cells"])
    def _backward_kernel(
        value: tl.tensor,
        locations: tl.tensor,
        weights: tl.tensor,
        levels: tl.tensor,
        grad_output: tl.tensor,  # (rows, D)
        grad_value: tl.tensor,  # (B, cells, heads, D), float32, zeros
        grad_locations: tl.tensor,  # (rows, L, P, 2)
        grad_weights: tl.tensor,  # (rows, L, P)
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
        """Add to ``grad_value`` and fill the other two gradients."""
        row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        alive = row < rows
        batch = row // (queries * heads)
        channel = tl.arange(0, BLOCK_D)[None, :]
        real = channel < D
        stride = heads * D
        origin = (batch.to(tl.int64) * cells * stride + row % heads * D)[:, None] + channel
        points = row.to(tl.int64) * (L * P)
        place = grad_output + (row.to(tl.int64) * D)[:, None] + channel
        g = tl.load(place, mask=alive[:, None] & real, other=0.0).to(tl.float32)
        for level in range(L):
            for p in tl.static_range(P):
                point = points + level * P + p
                weight = tl.load(weights + point, mask=alive, other=0.0)
                fx, fy, cell, m00, m01, m10, m11, h, w, width = _corners(locations, levels, level, point, alive)
                c00 = m00[:, None] & real
                c01 = m01[:, None] & real
                c10 = m10[:, None] & real
                c11 = m11[:, None] & real
                upper_left = origin + (cell.to(tl.int64) * stride)[:, None]
                from_cell = value + upper_left
                # All reads before the additions: the assembler may not move a read past a write.
                v00 = tl.load(from_cell, mask=c00, other=0.0).to(tl.float32)
                v01 = tl.load(from_cell + stride, mask=c01, other=0.0).to(tl.float32)
                v10 = tl.load(from_cell + width * stride, mask=c10, other=0.0).to(tl.float32)
                v11 = tl.load(from_cell + (width + 1) * stride, mask=c11, other=0.0).to(tl.float32)
                # The output's gradient against each cell's values; the cells' shares of the point do the rest.
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
                tl.atomic_add(to_cell, (weight * (1 - fy) * (1 - fx))[:, None] * g, mask=c00, sem="relaxed")
                tl.atomic_add(to_cell + stride, (weight * (1 - fy) * fx)[:, None] * g, mask=c01, sem="relaxed")
                tl.atomic_add(to_cell + width * stride, (weight * fy * (1 - fx))[:, None] * g, mask=c10, sem="relaxed")
                tl.atomic_add(to_cell + (width + 1) * stride, (weight * fy * fx)[:, None] * g, mask=c11, sem="relaxed")


def _interpreted() -> bool:
    # Triton decides when it decorates, so what the environment says now does not matter.
    return _TRITON and not isinstance(_forward_kernel, triton.JITFunction)


@functools.lru_cache(maxsize=1)
def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CC", "gcc"), "gcc", "clang"))


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why the kernels cannot be used for values of a type on a device, in one line; None where they can.

    Under Triton's interpreter every device will do.
    """
    if not _TRITON:
        return "triton is not installed"
    if dtype not in _DTYPES:
        return f"the Triton kernels take float32, float16 and bfloat16 values, not {dtype}"
    if _interpreted():
        return None
    if device.type != "cuda":
        return f"the Triton kernels run on CUDA devices, not on {device.type}"
    if not _has_compiler():
        return "Triton needs a C compiler (gcc or clang) to build its launcher and finds none"
    return None


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Sum values sampled at given points, weighted. Deterministic.

    Sampling is bilinear between cell centres (``align_corners=False``), zero outside of a map; points at NaN are
    outside. The device is not synchronised, except where a list of shapes is met for the first time.

    Args:
        value: (B, S, heads, d) in float32, float16 or bfloat16, the cells of all levels row-major one after another.
        shapes: (h, w) of each of L levels in cells.
        locations: (B, Q, heads, L, P, 2) in float32, (x, y) with 0 to 1 spanning the level's map.
        weights: (B, Q, heads, L, P) in float32.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if shapes, types or devices do not fit each other, or a tensor is too large.
        RuntimeError: if the kernels cannot be used here, see :func:`unavailable`.
    """
    _check(value, shapes, locations, weights)
    B, Q, heads = locations.shape[:3]
    output = value.new_empty(B, Q, heads * value.shape[3])
    _launch("forward", value, shapes, locations, weights, output)
    return output


def backward(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`forward`.

    Those of locations and weights are deterministic. That of value is summed in float32 by atomic additions, whose
    order, and with it the last bits of the sum, varies from run to run.

    Args:
        value: as for :func:`forward`.
        shapes: as for :func:`forward`.
        locations: as for :func:`forward`.
        weights: as for :func:`forward`.
        grad_output: (B, Q, heads * d), the gradient of the output.

    Returns:
        The gradients of value (in its dtype), of locations and of weights (float32), in the shapes of these.

    Raises:
        ValueError: if shapes, types or devices do not fit each other, or a tensor is too large.
        RuntimeError: if the kernels cannot be used here, see :func:`unavailable`.
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
    gradients = (grad_value, grad_locations, grad_weights)
    _launch("backward", value, shapes, locations, weights, grad_output.contiguous(), *gradients)
    return grad_value.to(value.dtype), grad_locations, grad_weights


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    """Refuse what would be read or written out of bounds."""
    if reason := unavailable(value.device, value.dtype):
        raise RuntimeError(reason)
    B, S, heads, _ = value.shape
    Q, L, P = locations.shape[1], len(shapes), locations.shape[4]
    wanted = (B, Q, heads, L, P)
    if sum(h * w for h, w in shapes) != S or locations.shape != (*wanted, 2) or weights.shape != wanted:
        raise ValueError(
            f"deformable attention: value {tuple(value.shape)}, shapes {shapes}, locations {tuple(locations.shape)} "
            f"and weights {tuple(weights.shape)} do not fit each other"
        )
    for name, tensor in (("locations", locations), ("weights", weights)):
        if tensor.dtype != torch.float32 or tensor.device != value.device:
            raise ValueError(
                f"deformable attention: {name} must be float32 on {value.device}, got {tensor.dtype} on {tensor.device}"
            )
    if max(B * Q * heads, S) > 2**31 - 2048:
        raise ValueError(f"deformable attention: B * Q * heads = {B * Q * heads} or S = {S} does not fit 32 bits")


def _launch(
    direction: str, value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, *others: Tensor
) -> None:
    B, S, heads, d = value.shape
    Q, L, P = locations.shape[1], len(shapes), locations.shape[4]
    rows = B * Q * heads
    if rows == 0 or d == 0:
        return
    kernel: Any = _forward_kernel if direction == "forward" else _backward_kernel
    block_d = triton.next_power_of_2(d)
    block = min(max(_BLOCK_VALUES // block_d, 1), _MAX_ROWS)
    levels = _levels(tuple(shapes), value.device)
    # Triton launches on the current device, which need not be the tensors'.
    with torch.cuda.device_of(value):
        kernel[(triton.cdiv(rows, block),)](
            value.contiguous(), locations.contiguous(), weights.contiguous(), levels, *others,
            rows, Q, S, heads, L=L, P=P, D=d, BLOCK=block, BLOCK_D=block_d, num_warps=_WARPS,
        )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _levels(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """(L, 3) of int32 on the device: height, width and first cell of each level."""
    table, first = [], 0
    for h, w in shapes:
        table.append((h, w, first))
        first += h * w
    return torch.tensor(table, dtype=torch.int32, device=device)
