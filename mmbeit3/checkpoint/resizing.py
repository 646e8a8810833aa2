"""Fitting weights made for one image or patch size to another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.ops import widened

__all__ = ["resample_positions", "resize_patch_kernel", "resize_position_table"]


def resample_positions(table: Tensor, old: Sequence[int], new: Sequence[int], num_prefix: int) -> Tensor:
    """Resize the patch rows of position tables from one grid to another; differentiable.

    Bicubic without antialiasing, as the reference does it. Half precision is computed in float32. timm's
    ``resample_abs_pos_embed`` gives the same, but computes float64 in float32, too.

    Args:
        table: (..., num_prefix + old[0] * old[1], C), the patches row-major.
        old: (h, w) of its grid.
        new: (h, w) wanted.
        num_prefix: rows before the first patch, which stay.

    Returns:
        (..., num_prefix + new[0] * new[1], C), in the table's dtype.
    """
    prefix, patches = table[..., :num_prefix, :], table[..., num_prefix:, :]
    maps = widened(patches).reshape(-1, old[0], old[1], table.shape[-1]).permute(0, 3, 1, 2)
    resized = F.interpolate(maps, size=list(new), mode="bicubic").permute(0, 2, 3, 1)
    resized = resized.reshape(*table.shape[:-2], -1, table.shape[-1]).to(table.dtype)
    return torch.cat([prefix, resized], dim=-2)


def resize_position_table(table: Tensor, grid: Sequence[int], num_prefix: int) -> Tensor:
    """Resize the patch rows of a position table of a square grid, see :func:`resample_positions`.

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
    return table if (side, side) == tuple(grid) else resample_positions(table, (side, side), grid, num_prefix)


def resize_patch_kernel(kernel: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a patch embedding's kernel (C, 3, p, p) to another patch size, e.g. 14 to 16.

    By the pseudo-inverse of image resizing (FlexiViT, arXiv 2212.08013), so that a resized image gives the same tokens. Half
    precision is computed in float32. timm's ``resample_patch_embed`` gives the same, but computes float64 in float32, too.

    Args:
        kernel: any floating dtype.
        size: (height, width) wanted.

    Returns:
        (C, 3, height, width), in the kernel's dtype.
    """
    if kernel.shape[2:] == tuple(size):
        return kernel
    wide = widened(kernel)
    # Each pixel alone as an image; resized, they are the columns of the matrix that resizes.
    pixels = torch.eye(math.prod(kernel.shape[2:]), dtype=wide.dtype, device=wide.device)
    images = pixels.unflatten(1, (1, *kernel.shape[2:]))
    matrix = F.interpolate(images, size=list(size), mode="bicubic", antialias=True).flatten(1).T.contiguous()
    return (wide.flatten(2) @ torch.linalg.pinv(matrix)).unflatten(2, tuple(size)).to(kernel.dtype)
