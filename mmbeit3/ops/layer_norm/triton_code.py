"""Triton kernels that fuse layer norm with the element-wise operations before it.

One row holds the channels of one token. Sums over a row are float32 for every dtype.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["backward_kernel", "forward_kernel"]

_SQRT_HALF = tl.constexpr(0.7071067811865476)
_INV_SQRT_2PI = tl.constexpr(0.3989422804014327)


@triton.jit
def _row_start(row: tl.tensor, length: tl.tensor, sample_stride: tl.tensor, columns: tl.constexpr) -> tl.tensor:
    """Compute a row's offset in tokens (B, length, columns) whose samples are ``sample_stride`` elements apart."""
    return (row // length).to(tl.int64) * sample_stride + (row % length) * columns


@triton.jit(do_not_specialize=["length", "rows_per_factor"])
def forward_kernel(
    tokens: tl.tensor,  # (B, length, columns), samples sample_stride elements apart
    branch: tl.tensor,  # (rows, columns), if BRANCH
    factor: tl.tensor,  # (rows / rows_per_factor,), if FACTOR
    shift: tl.tensor,  # (columns,), if SHIFT: added to the branch, or to the tokens if there is none
    weight: tl.tensor,  # (columns,)
    bias: tl.tensor,  # (columns,)
    total: tl.tensor,  # (rows, columns), written if BRANCH
    normed: tl.tensor,  # (rows, columns)
    statistics: tl.tensor,  # (rows, 2), float32: mean and reciprocal standard deviation
    length: tl.tensor,
    sample_stride: tl.tensor,
    rows_per_factor: tl.tensor,
    eps: tl.constexpr,
    columns: tl.constexpr,
    BRANCH: tl.constexpr,
    FACTOR: tl.constexpr,
    SHIFT: tl.constexpr,
    GELU: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Add a branch to one row of tokens or apply GELU to it, then normalise it."""
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    real = column < columns
    place = row.to(tl.int64) * columns + column
    x = tl.load(tokens + _row_start(row, length, sample_stride, columns) + column, mask=real, other=0.0).to(tl.float32)
    if BRANCH:
        added = tl.load(branch + place, mask=real, other=0.0).to(tl.float32)
        if SHIFT:
            added += tl.load(shift + column, mask=real, other=0.0).to(tl.float32)
        if FACTOR:
            added *= tl.load(factor + row // rows_per_factor).to(tl.float32)
        rounded = (x + added).to(total.dtype.element_ty)
        tl.store(total + place, rounded, mask=real)
        x = rounded.to(tl.float32)
    elif SHIFT:
        x += tl.load(shift + column, mask=real, other=0.0).to(tl.float32)
    if GELU:
        x = 0.5 * x * (1.0 + tl.erf(x * _SQRT_HALF))
    mean = tl.sum(x, axis=0) / columns
    centred = tl.where(real, x - mean, 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / columns + eps)
    w = tl.load(weight + column, mask=real, other=0.0).to(tl.float32)
    b = tl.load(bias + column, mask=real, other=0.0).to(tl.float32)
    tl.store(normed + place, (centred * rstd * w + b).to(normed.dtype.element_ty), mask=real)
    tl.store(statistics + 2 * row, mean)
    tl.store(statistics + 2 * row + 1, rstd)


@triton.jit(do_not_specialize=["rows", "length", "rows_per_factor"])
def backward_kernel(
    grad_normed: tl.tensor,  # (rows, columns)
    grad_total: tl.tensor,  # (rows, columns), if TOTAL: the gradient of the sum itself
    source: tl.tensor,  # (B, length, columns), samples sample_stride elements apart: the sum, or the input of GELU
    weight: tl.tensor,  # (columns,)
    statistics: tl.tensor,  # (rows, 2), float32
    factor: tl.tensor,  # (rows / rows_per_factor,), if FACTOR
    shift: tl.tensor,  # (columns,), if SHIFT: see forward_kernel
    grad_tokens: tl.tensor,  # (rows, columns)
    grad_branch: tl.tensor,  # (rows, columns), written if BRANCH
    partial: tl.tensor,  # (programs, 2 or 3, columns), float32: gradients of weight, bias and shift, to be summed over programs
    rows: tl.tensor,
    length: tl.tensor,
    sample_stride: tl.tensor,
    rows_per_factor: tl.tensor,
    columns: tl.constexpr,
    TOTAL: tl.constexpr,
    BRANCH: tl.constexpr,
    FACTOR: tl.constexpr,
    SHIFT: tl.constexpr,
    GELU: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Compute the gradients of every ``num_programs``-th row, and their sums for weight, bias and shift."""
    program = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    real = column < columns
    w = tl.load(weight + column, mask=real, other=0.0).to(tl.float32)
    by_weight = tl.zeros([BLOCK], dtype=tl.float32)
    by_bias = tl.zeros([BLOCK], dtype=tl.float32)
    by_shift = tl.zeros([BLOCK], dtype=tl.float32)
    moved = tl.zeros([BLOCK], dtype=tl.float32)
    if SHIFT and not BRANCH:
        moved = tl.load(shift + column, mask=real, other=0.0).to(tl.float32)
    for row in range(program, rows, tl.num_programs(0)):
        place = tl.cast(row, tl.int64) * columns + column
        x = tl.load(source + _row_start(row, length, sample_stride, columns) + column, mask=real, other=0.0).to(tl.float32)
        if SHIFT and not BRANCH:
            x += moved
        g = tl.load(grad_normed + place, mask=real, other=0.0).to(tl.float32)
        mean = tl.load(statistics + 2 * row)
        rstd = tl.load(statistics + 2 * row + 1)
        slope = x
        if GELU:
            share = 0.5 * (1.0 + tl.erf(x * _SQRT_HALF))
            slope = share + x * _INV_SQRT_2PI * tl.exp(-0.5 * x * x)
            x = x * share
        unit = tl.where(real, (x - mean) * rstd, 0.0)
        by_weight += g * unit
        by_bias += g
        scaled = g * w
        along_unit = tl.sum(scaled * unit, axis=0) / columns
        average = tl.sum(scaled, axis=0) / columns
        grad = (scaled - unit * along_unit - average) * rstd
        if GELU:
            grad = grad * slope
        if TOTAL:
            grad += tl.load(grad_total + place, mask=real, other=0.0).to(tl.float32)
        tl.store(grad_tokens + place, grad.to(grad_tokens.dtype.element_ty), mask=real)
        if BRANCH:
            if FACTOR:
                grad = grad * tl.load(factor + row // rows_per_factor).to(tl.float32)
            tl.store(grad_branch + place, grad.to(grad_branch.dtype.element_ty), mask=real)
        if SHIFT:
            by_shift += grad
    sums = partial + program * (3 if SHIFT else 2) * columns + column
    tl.store(sums, by_weight, mask=real)
    tl.store(sums + columns, by_bias, mask=real)
    if SHIFT:
        tl.store(sums + 2 * columns, by_shift, mask=real)
