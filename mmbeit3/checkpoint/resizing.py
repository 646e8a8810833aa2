"""Fitting weights made for one image or patch size to another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor

from mmbeit3.errors import UserError

__all__ = ["resize_patch_kernel", "resize_position_table"]


def resize_position_table(table: Tensor, grid: Sequence[int], num_prefix: int) -> Tensor:
    """Resize the patch rows of a position table of a square grid.

    Bicubic without antialiasing, in float32, as the reference does on load; the first rows stay.

    Args:
        table: (num_prefix + side * side, C), any floating dtype.
        grid: (h, w) wanted.
        num_prefix: rows before the first patch.

    Returns:
        (num_prefix + h * w, C), in the table's dtype.

    Raises:
        UserError: if the table's patches make no square.
    """
    patches = table.shape[0] - num_prefix
    side = math.isqrt(max(patches, 0))
    if side * side != patches or not patches:
        raise UserError(
            f"the checkpoint's position table of {table.shape[0]} rows is {num_prefix} + no square grid of patches: "
            f"it cannot be resized to {grid[0]} x {grid[1]}"
        )
    resized = resample_abs_pos_embed(
        table.float()[None], new_size=list(grid), old_size=[side, side], num_prefix_tokens=num_prefix, antialias=False
    )
    return resized[0].to(table.dtype)


def resize_patch_kernel(kernel: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a patch embedding's kernel (C, 3, p, p) to another patch size, e.g. 14 to 16.

    By the pseudo-inverse of image resizing (FlexiViT, arXiv 2212.08013), so that a resized image gives the same tokens.

    Args:
        kernel: any floating dtype.
        size: (height, width) wanted.
    """
    return resample_patch_embed(kernel.float(), new_size=list(size)).to(kernel.dtype)
