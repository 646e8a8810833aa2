"""Functions that the forward and the backward Triton kernel of deformable attention share.

The terms are those of :mod:`~mmbeit3.ops.deform_attn.triton_code`. KIND is "locations", "points" or "boxes".
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "existing",
    "find_corners",
    "find_program",
    "read_cells",
    "read_level",
    "read_scale",
    "read_softmax",
    "read_weights",
]


@triton.jit
def find_program(queries: tl.tensor, tiles: tl.tensor, H: tl.constexpr, BLOCK: tl.constexpr) -> tuple[tl.tensor, ...]:
    """Return this program's image (int64), head and first query."""
    program = tl.program_id(0)
    blocks = tl.cdiv(queries, BLOCK * tiles)
    place = program // H
    return (place // blocks).to(tl.int64), program % H, place % blocks * (BLOCK * tiles)


@triton.jit
def read_level(sizes: tl.tensor, level: tl.constexpr, first: tl.tensor, cells: tl.tensor) -> tuple[tl.tensor, ...]:
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
def read_softmax(
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
            total += read_weights(scores, row * (L * P) + level * P + point, alive, top, "points")
        share = tl.where(alive, tl.exp(top - tl.max(top, axis=1)[:, None]), 0.0)
        return top, share / tl.sum(share * total, axis=1)[:, None]


@triton.jit
def read_weights(scores: tl.tensor, index: tl.tensor, mask: tl.tensor, top: tl.tensor, KIND: tl.constexpr) -> tl.tensor:
    """Return the given weights, or the exponentials of logits; 0 where there is no sample."""
    score = tl.load(scores + index, mask=mask, other=0.0).to(tl.float32)
    if KIND == "locations":
        return score
    else:  # noqa: RET505  (Triton compiles what follows a return)
        return tl.where(mask, tl.exp(score - top), 0.0)


@triton.jit
def read_scale(
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
def find_corners(
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
def existing(mask: tl.tensor, channel: tl.tensor, D: tl.constexpr, D2: tl.constexpr) -> tl.tensor:
    """Extend a mask of samples by the channels that exist, to (BLOCK, P2, 1) or (BLOCK, P2, D2)."""
    if D == D2:
        return mask[:, :, None]
    else:  # noqa: RET505  (Triton compiles what follows a return)
        return mask[:, :, None] & (channel < D)


@triton.jit
def read_cells(
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
