"""The Triton kernels of deformable attention; :mod:`~mmbeit3.ops.deform_attn.triton_kernel` launches them.

A row is one head of one query, a sample is one point of a row on one level. A program processes consecutive queries of one
head, BLOCK rows at a time, with all points of a level side by side: tensors are (BLOCK, P2) for samples and (BLOCK, P2, D2) for
their channels. Coordinates, weights and sums are float32 for every dtype of the tensors.

Why in this form:

* Neighbouring queries sample neighbouring cells of the same head, so most reads after the first come from the L1 cache. Rows of
  different heads share no cells.
* Heads are the fastest index of the programs: programs that run at the same time read the same cache lines of coordinates and
  weights, in which the heads of a query follow each other.
* With the points of a level side by side, a warp reads coordinates and weights of consecutive addresses, and the softmax is a
  reduction within a row.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mmbeit3.ops.deform_attn.triton_parts import (
    existing,
    find_corners,
    find_program,
    read_cells,
    read_level,
    read_scale,
    read_softmax,
    read_weights,
)

__all__ = ["backward_kernel", "forward_kernel"]


@triton.jit(do_not_specialize=["queries", "cells", "tiles"])
def forward_kernel(
    value: tl.tensor,  # (B, cells, H, D)
    sizes: tl.tensor,  # (L, 2), height and width of each level
    references: tl.tensor,  # (1 or B, queries, L, 2 or 4); not read if KIND is "locations"
    points: tl.tensor,  # (B, queries, H, L, P, 2): locations, or offsets from references
    scores: tl.tensor,  # (B, queries, H, L, P): weights, or logits
    output: tl.tensor,  # (B, queries, H, D)
    queries: tl.tensor,
    cells: tl.tensor,
    tiles: tl.tensor,
    KIND: tl.constexpr,  # "locations" (with weights), "points" or "boxes" (with offsets and logits)
    ONE: tl.constexpr,  # True if all images share the references
    H: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    P2: tl.constexpr,  # P and D, rounded up to powers of two
    D2: tl.constexpr,
) -> None:
    """Write each row's weighted sum of sampled values."""
    image, head, start = find_program(queries, tiles, H, BLOCK)
    # int64 for what selects an image, int32 within an image, which the host checks.
    rows = image * queries * H
    value += image * cells * (H * D) + head * D
    points += rows * (2 * L * P)
    scores += rows * (L * P)
    output += rows * D
    anchors = image * 0 if ONE else image * queries * L
    point = tl.arange(0, P2)[None, :]
    channel = tl.arange(0, D2)[None, None, :]
    for tile in range(tiles):
        query = start + tile * BLOCK + tl.arange(0, BLOCK)[:, None]
        row = query * H + head
        known = query < queries
        alive = known & (point < P)
        top, factor = read_softmax(scores, row, point, alive, L, P, KIND)
        total = tl.zeros([BLOCK, P2, D2], tl.float32)
        first = tl.zeros([], tl.int64)
        for level in tl.static_range(L):
            height, width, fits, after = read_level(sizes, level, first, cells)
            index = row * (L * P) + level * P + point
            weight = read_weights(scores, index, alive, top, KIND)
            anchor = anchors + query * L + level
            scale_x, shift_x, scale_y, shift_y = read_scale(
                references, anchor, height.to(tl.float32), width.to(tl.float32), known, P, KIND
            )
            x = tl.load(points + 2 * index, mask=alive, other=0.0).to(tl.float32) * scale_x + shift_x
            y = tl.load(points + 2 * index + 1, mask=alive, other=0.0).to(tl.float32) * scale_y + shift_y
            fx, fy, cell, m00, m01, m10, m11 = find_corners(x, y, first, height, width, alive & fits)
            v00, v01, v10, v11 = read_cells(
                value + cell[:, :, None] * (H * D) + channel,
                width,
                H * D,
                existing(m00, channel, D, D2),
                existing(m01, channel, D, D2),
                existing(m10, channel, D, D2),
                existing(m11, channel, D, D2),
            )
            total += (weight * (1 - fy) * (1 - fx))[:, :, None] * v00
            total += (weight * (1 - fy) * fx)[:, :, None] * v01
            total += (weight * fy * (1 - fx))[:, :, None] * v10
            total += (weight * fy * fx)[:, :, None] * v11
            first = after
        if KIND != "locations":
            # Once for all levels, and after the sum over corners: Triton would otherwise exchange whole tiles of products.
            total *= factor[:, :, None]
        # Sizes that do not match the value cannot raise an error here: the result is NaN.
        result = tl.sum(total, axis=1) + tl.where(first == cells, 0.0, float("nan"))
        column = tl.arange(0, D2)[None, :]
        tl.store(output + row * D + column, result.to(output.dtype.element_ty), mask=known & (column < D))


@triton.jit(do_not_specialize=["queries", "cells", "tiles"])
def backward_kernel(
    value: tl.tensor,
    sizes: tl.tensor,
    references: tl.tensor,
    points: tl.tensor,
    scores: tl.tensor,
    grad_output: tl.tensor,  # (B, queries, H, D)
    grad_value: tl.tensor,  # (B, cells, H, D), float32, zeros
    grad_points: tl.tensor,  # as points
    grad_scores: tl.tensor,  # as scores
    queries: tl.tensor,
    cells: tl.tensor,
    tiles: tl.tensor,
    KIND: tl.constexpr,
    ONE: tl.constexpr,
    H: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    P2: tl.constexpr,
    D2: tl.constexpr,
    L2: tl.constexpr,  # L, rounded up to a power of two
) -> None:
    """Write the gradients of points and scores, and add those of the values."""
    image, head, start = find_program(queries, tiles, H, BLOCK)
    rows = image * queries * H
    origin = image * cells * (H * D) + head * D
    value += origin
    grad_value += origin
    points += rows * (2 * L * P)
    grad_points += rows * (2 * L * P)
    scores += rows * (L * P)
    grad_scores += rows * (L * P)
    grad_output += rows * D
    anchors = image * 0 if ONE else image * queries * L
    point = tl.arange(0, P2)[None, :]
    channel = tl.arange(0, D2)[None, None, :]
    levels = tl.arange(0, L2)[None, None, :]
    for tile in range(tiles):
        query = start + tile * BLOCK + tl.arange(0, BLOCK)[:, None]
        row = query * H + head
        known = query < queries
        alive = known & (point < P)
        top, factor = read_softmax(scores, row, point, alive, L, P, KIND)
        # Each point's threads read the row's gradient themselves (L1 cache), instead of exchanging it.
        place = tl.broadcast_to(row[:, :, None] * D + channel, [BLOCK, P2, D2])
        g = tl.load(grad_output + place, mask=existing(alive, channel, D, D2), other=0.0).to(tl.float32)
        of_weights = tl.zeros([BLOCK, P2, L2], tl.float32)
        first = tl.zeros([], tl.int64)
        for level in tl.static_range(L):
            height, width, fits, after = read_level(sizes, level, first, cells)
            index = row * (L * P) + level * P + point
            weight = read_weights(scores, index, alive, top, KIND) * factor
            anchor = anchors + query * L + level
            scale_x, shift_x, scale_y, shift_y = read_scale(
                references, anchor, height.to(tl.float32), width.to(tl.float32), known, P, KIND
            )
            x = tl.load(points + 2 * index, mask=alive, other=0.0).to(tl.float32) * scale_x + shift_x
            y = tl.load(points + 2 * index + 1, mask=alive, other=0.0).to(tl.float32) * scale_y + shift_y
            fx, fy, cell, m00, m01, m10, m11 = find_corners(x, y, first, height, width, alive & fits)
            e00 = existing(m00, channel, D, D2)
            e01 = existing(m01, channel, D, D2)
            e10 = existing(m10, channel, D, D2)
            e11 = existing(m11, channel, D, D2)
            offset = cell[:, :, None] * (H * D) + channel
            # All reads before the additions: the assembler may not move a read past a write.
            v00, v01, v10, v11 = read_cells(value + offset, width, H * D, e00, e01, e10, e11)
            # The output's gradient against each cell's values; the cells' shares of the point do the rest.
            d00 = tl.sum(g * v00, axis=2)
            d01 = tl.sum(g * v01, axis=2)
            d10 = tl.sum(g * v10, axis=2)
            d11 = tl.sum(g * v11, axis=2)
            of_weight = (1 - fy) * ((1 - fx) * d00 + fx * d01) + fy * ((1 - fx) * d10 + fx * d11)
            of_x = weight * scale_x * ((1 - fy) * (d01 - d00) + fy * (d11 - d10))
            of_y = weight * scale_y * ((1 - fx) * (d10 - d00) + fx * (d11 - d01))
            tl.store(grad_points + 2 * index, of_x.to(grad_points.dtype.element_ty), mask=alive)
            tl.store(grad_points + 2 * index + 1, of_y.to(grad_points.dtype.element_ty), mask=alive)
            if KIND == "locations":
                tl.store(grad_scores + index, of_weight.to(grad_scores.dtype.element_ty), mask=alive)
            else:
                of_weights = tl.where(levels == level, of_weight[:, :, None], of_weights)
            to_cell = grad_value + offset
            below = to_cell + width * (H * D)
            tl.atomic_add(to_cell, (weight * (1 - fy) * (1 - fx))[:, :, None] * g, mask=e00, sem="relaxed")
            tl.atomic_add(to_cell + H * D, (weight * (1 - fy) * fx)[:, :, None] * g, mask=e01, sem="relaxed")
            tl.atomic_add(below, (weight * fy * (1 - fx))[:, :, None] * g, mask=e10, sem="relaxed")
            tl.atomic_add(below + H * D, (weight * fy * fx)[:, :, None] * g, mask=e11, sem="relaxed")
            first = after
        if KIND != "locations":
            # Softmax: a logit's gradient is the weight times the difference from the row's mean gradient.
            index = row[:, :, None] * (L * P) + levels * P + point[:, :, None]
            exists = alive[:, :, None] & (levels < L)
            weights = read_weights(scores, index, exists, top[:, :, None], KIND) * factor[:, :, None]
            mean = tl.sum(tl.sum(weights * of_weights, axis=2, keep_dims=True), axis=1, keep_dims=True)
            of_logits = weights * (of_weights - mean)
            tl.store(grad_scores + index, of_logits.to(grad_scores.dtype.element_ty), mask=exists)
