"""The Triton kernels of deformable attention; :mod:`~mmbeit3.ops.deform_attn.triton_kernel` launches them.

A row is one head of one query. Each program processes a block of rows and loops over their L * P points. A point reads the four
cells around it, with d contiguous values each. Coordinates, weights and sums are float32 for every dtype of the values.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["backward_kernel", "forward_kernel"]


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
def forward_kernel(
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
    """Write each row's weighted sum of sampled values."""
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
def backward_kernel(
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
    """Write the gradients of locations and weights, and add those of the values."""
    alive, real, points, origin, place = _block(rows, queries, cells, heads, L, P, D, BLOCK, BLOCK_D)
    stride = heads * D
    g = tl.load(grad_output + place, mask=alive[:, None] & real, other=0.0).to(tl.float32)
    for level in range(L):
        for p in tl.range(P, loop_unroll_factor=4):
            point = points + level * P + p
            weight = tl.load(weights + point, mask=alive, other=0.0)
            fx, fy, cell, m00, m01, m10, m11, h, w, width = _corners(locations, levels, level, point, alive, real)
            upper_left = origin + (cell.to(tl.int64) * stride)[:, None]
            # All reads before the additions: the assembler may not move a read past a write.
            v00, v01, v10, v11 = _cells(value + upper_left, width, stride, m00, m01, m10, m11)
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
            tl.atomic_add(to_cell, (weight * (1 - fy) * (1 - fx))[:, None] * g, mask=m00, sem="relaxed")
            tl.atomic_add(to_cell + stride, (weight * (1 - fy) * fx)[:, None] * g, mask=m01, sem="relaxed")
            tl.atomic_add(to_cell + width * stride, (weight * fy * (1 - fx))[:, None] * g, mask=m10, sem="relaxed")
            tl.atomic_add(to_cell + (width + 1) * stride, (weight * fy * fx)[:, None] * g, mask=m11, sem="relaxed")
