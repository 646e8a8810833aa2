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

__all__ = ["backward_kernel", "forward_kernel"]


@triton.jit
def _program(queries: tl.tensor, tiles: tl.tensor, H: tl.constexpr, BLOCK: tl.constexpr) -> tuple[tl.tensor, ...]:
    """Return this program's image (int64), head and first query."""
    program = tl.program_id(0)
    blocks = tl.cdiv(queries, BLOCK * tiles)
    place = program // H
    return (place // blocks).to(tl.int64), program % H, place % blocks * (BLOCK * tiles)


@triton.jit
def _level(sizes: tl.tensor, level: tl.constexpr, first: tl.tensor, cells: tl.tensor) -> tuple[tl.tensor, ...]:
    """Return height and width of a level, True if the value has the level's cells, and the first cell of the next level.

    The sizes may come from a tensor of the caller that the host has not read, so that they must not lead out of the value.
    """
    height = tl.load(sizes + 2 * level).to(tl.int64)
    width = tl.load(sizes + 2 * level + 1).to(tl.int64)
    # Sides above the number of cells are refused first: the product of the others is within int64.
    fits = (height > 0) & (width > 0) & (height <= cells) & (width <= cells)
    after = first + tl.where(fits, height * width, 1)
    fits = fits & (after <= cells)
    # After a wrong level, no level fits, and the sum differs from the number of cells.
    return height.to(tl.int32), width.to(tl.int32), fits, tl.where(fits, after, cells.to(tl.int64) + 1)


@triton.jit
def _softmax(
    scores: tl.tensor,
    row: tl.tensor,
    point: tl.tensor,
    alive: tl.tensor,
    L: tl.constexpr,
    P: tl.constexpr,
    KIND: tl.constexpr,
) -> tuple[tl.tensor, ...]:
    """Return the parts (BLOCK, P2) of the softmax over all points of a row: weight = exp(logit - top) * factor.

    ``top`` is the maximum over the levels of a point, not of the row, so that the exponentials in the loop over levels do not
    depend on an exchange between threads. Weights that are given as such have the factor 1.
    """
    if KIND == "locations":
        return alive.to(tl.float32) * 0.0, alive.to(tl.float32)
    else:  # noqa: RET505  (Triton compiles what follows a return)
        top = tl.full(alive.shape, float("-inf"), tl.float32)
        for level in tl.static_range(L):
            logit = tl.load(scores + row * (L * P) + level * P + point, mask=alive, other=float("-inf")).to(tl.float32)
            top = tl.maximum(top, logit)
        total = tl.zeros(alive.shape, tl.float32)
        for level in tl.static_range(L):
            total += _weight(scores, row * (L * P) + level * P + point, alive, top, "points")
        share = tl.where(alive, tl.exp(top - tl.max(top, axis=1)[:, None]), 0.0)
        return top, share / tl.sum(share * total, axis=1)[:, None]


@triton.jit
def _weight(scores: tl.tensor, index: tl.tensor, mask: tl.tensor, top: tl.tensor, KIND: tl.constexpr) -> tl.tensor:
    """Return the given weights, or the exponentials of logits; 0 where there is no sample."""
    score = tl.load(scores + index, mask=mask, other=0.0).to(tl.float32)
    if KIND == "locations":
        return score
    else:  # noqa: RET505  (Triton compiles what follows a return)
        return tl.where(mask, tl.exp(score - top), 0.0)


@triton.jit
def _scale(
    references: tl.tensor,
    anchor: tl.tensor,
    h: tl.tensor,
    w: tl.tensor,
    alive: tl.tensor,
    P: tl.constexpr,
    KIND: tl.constexpr,
) -> tuple[tl.tensor, ...]:
    """Return the map from given coordinates to cells: x = scale_x * given_x + shift_x, and the same for y.

    Locations span the map with 0 to 1. Offsets are in cells around a reference point, or in halves of a reference box
    divided by the number of points. A cell's centre is a whole number.
    """
    if KIND == "locations":
        return w, -0.5, h, -0.5
    else:  # noqa: RET505  (Triton compiles what follows a return)
        # The shape (BLOCK, 1): all points of a row share a reference.
        size: tl.constexpr = 4 if KIND == "boxes" else 2
        x = tl.load(references + anchor * size, mask=alive, other=0.0).to(tl.float32) * w - 0.5
        y = tl.load(references + anchor * size + 1, mask=alive, other=0.0).to(tl.float32) * h - 0.5
        if KIND == "points":
            return 1.0, x, 1.0, y
        else:  # noqa: RET505
            half: tl.constexpr = 0.5 / P
            box_w = tl.load(references + anchor * size + 2, mask=alive, other=0.0).to(tl.float32)
            box_h = tl.load(references + anchor * size + 3, mask=alive, other=0.0).to(tl.float32)
            return box_w * w * half, x, box_h * h * half, y


@triton.jit
def _corners(
    x: tl.tensor, y: tl.tensor, first: tl.tensor, height: tl.tensor, width: tl.tensor, alive: tl.tensor
) -> tuple[tl.tensor, ...]:
    """Find the four cells around points (BLOCK, P2) on a level's map.

    Returns the position between the upper left cell (0) and the right and the lower ones (1), fx and fy; the upper
    left cell's index among all cells; masks of the upper left, upper right, lower left and lower right cells.
    """
    # Compared as floats, because NaN fails all comparisons: only numbers within the map are converted to integers.
    near = alive & (x >= -1.0) & (x < width.to(tl.float32)) & (y >= -1.0) & (y < height.to(tl.float32))
    x = tl.where(near, x, 0.0)
    y = tl.where(near, y, 0.0)
    left_x = tl.floor(x)
    upper_y = tl.floor(y)
    column = left_x.to(tl.int32)
    row = upper_y.to(tl.int32)
    left, right = near & (column >= 0), near & (column + 1 < width)
    upper, lower = row >= 0, row + 1 < height
    cell = first.to(tl.int32) + row * width + column
    return x - left_x, y - upper_y, cell, left & upper, right & upper, left & lower, right & lower


@triton.jit
def _existing(mask: tl.tensor, channel: tl.tensor, D: tl.constexpr, D2: tl.constexpr) -> tl.tensor:
    """Extend a mask of samples by the channels that exist, to (BLOCK, P2, 1) or (BLOCK, P2, D2)."""
    if D == D2:
        return mask[:, :, None]
    else:  # noqa: RET505  (Triton compiles what follows a return)
        return mask[:, :, None] & (channel < D)


@triton.jit
def _cells(
    first: tl.tensor,
    width: tl.tensor,
    STRIDE: tl.constexpr,
    m00: tl.tensor,
    m01: tl.tensor,
    m10: tl.tensor,
    m11: tl.tensor,
) -> tuple[tl.tensor, ...]:
    """Read the four cells around points: upper left (at ``first``), upper right, lower left, lower right, as float32."""
    below = first + width * STRIDE
    v00 = tl.load(first, mask=m00, other=0.0)  # (BLOCK, P2, D2)
    v01 = tl.load(first + STRIDE, mask=m01, other=0.0)
    v10 = tl.load(below, mask=m10, other=0.0)
    v11 = tl.load(below + STRIDE, mask=m11, other=0.0)
    return v00.to(tl.float32), v01.to(tl.float32), v10.to(tl.float32), v11.to(tl.float32)


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
    image, head, start = _program(queries, tiles, H, BLOCK)
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
        top, factor = _softmax(scores, row, point, alive, L, P, KIND)
        total = tl.zeros([BLOCK, P2, D2], tl.float32)
        first = tl.zeros([], tl.int64)
        for level in tl.static_range(L):
            height, width, fits, after = _level(sizes, level, first, cells)
            index = row * (L * P) + level * P + point
            weight = _weight(scores, index, alive, top, KIND)
            anchor = anchors + query * L + level
            scale_x, shift_x, scale_y, shift_y = _scale(
                references, anchor, height.to(tl.float32), width.to(tl.float32), known, P, KIND
            )
            x = tl.load(points + 2 * index, mask=alive, other=0.0).to(tl.float32) * scale_x + shift_x
            y = tl.load(points + 2 * index + 1, mask=alive, other=0.0).to(tl.float32) * scale_y + shift_y
            fx, fy, cell, m00, m01, m10, m11 = _corners(x, y, first, height, width, alive & fits)
            v00, v01, v10, v11 = _cells(
                value + cell[:, :, None] * (H * D) + channel,
                width,
                H * D,
                _existing(m00, channel, D, D2),
                _existing(m01, channel, D, D2),
                _existing(m10, channel, D, D2),
                _existing(m11, channel, D, D2),
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
    image, head, start = _program(queries, tiles, H, BLOCK)
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
        top, factor = _softmax(scores, row, point, alive, L, P, KIND)
        # Each point's threads read the row's gradient themselves (L1 cache), instead of exchanging it.
        place = tl.broadcast_to(row[:, :, None] * D + channel, [BLOCK, P2, D2])
        g = tl.load(grad_output + place, mask=_existing(alive, channel, D, D2), other=0.0).to(tl.float32)
        of_weights = tl.zeros([BLOCK, P2, L2], tl.float32)
        first = tl.zeros([], tl.int64)
        for level in tl.static_range(L):
            height, width, fits, after = _level(sizes, level, first, cells)
            index = row * (L * P) + level * P + point
            weight = _weight(scores, index, alive, top, KIND) * factor
            anchor = anchors + query * L + level
            scale_x, shift_x, scale_y, shift_y = _scale(
                references, anchor, height.to(tl.float32), width.to(tl.float32), known, P, KIND
            )
            x = tl.load(points + 2 * index, mask=alive, other=0.0).to(tl.float32) * scale_x + shift_x
            y = tl.load(points + 2 * index + 1, mask=alive, other=0.0).to(tl.float32) * scale_y + shift_y
            fx, fy, cell, m00, m01, m10, m11 = _corners(x, y, first, height, width, alive & fits)
            e00 = _existing(m00, channel, D, D2)
            e01 = _existing(m01, channel, D, D2)
            e10 = _existing(m10, channel, D, D2)
            e11 = _existing(m11, channel, D, D2)
            offset = cell[:, :, None] * (H * D) + channel
            # All reads before the additions: the assembler may not move a read past a write.
            v00, v01, v10, v11 = _cells(value + offset, width, H * D, e00, e01, e10, e11)
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
            weights = _weight(scores, index, exists, top[:, :, None], KIND) * factor[:, :, None]
            mean = tl.sum(tl.sum(weights * of_weights, axis=2, keep_dims=True), axis=1, keep_dims=True)
            of_logits = weights * (of_weights - mean)
            tl.store(grad_scores + index, of_logits.to(grad_scores.dtype.element_ty), mask=exists)
