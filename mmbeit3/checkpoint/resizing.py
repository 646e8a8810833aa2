"""Resizing of weights to another image size, patch size or number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.checkpoint.naming import shape_text
from mmbeit3.errors import UserError, one_line
from mmbeit3.ops import widened

__all__ = ["grid_of_rows", "resample_positions", "resize_channels", "resize_patch_kernel", "resize_position_table"]


def resample_positions(
    table: Tensor,
    old: Sequence[int],
    new: Sequence[int],
    num_prefix: int,
    mode: str = "bicubic",
    antialias: bool = False,
    align_corners: bool | None = None,
) -> Tensor:
    """Resize the patch rows of position tables from one grid to another; differentiable.

    The default is bicubic without antialiasing, as in BEiT-3's reference code. Half precision is computed in float32. timm's
    ``resample_abs_pos_embed`` gives the same result, except that it computes float64 in float32.

    Args:
        table: (..., num_prefix + old[0] * old[1], C), the patches row-major.
        old: (h, w) of the table's grid.
        new: (h, w) of the result's grid.
        num_prefix: number of rows before the first patch, e.g. of the class token. They are copied unchanged.
        mode, antialias, align_corners: see ``torch.nn.functional.interpolate``.

    Returns:
        (..., num_prefix + new[0] * new[1], C), in the table's dtype.
    """
    prefix, patches = table[..., :num_prefix, :], table[..., num_prefix:, :]
    maps = widened(patches).reshape(-1, old[0], old[1], table.shape[-1]).permute(0, 3, 1, 2)
    resized = F.interpolate(maps, size=list(new), mode=mode, antialias=antialias, align_corners=align_corners)
    resized = resized.permute(0, 2, 3, 1).reshape(*table.shape[:-2], -1, table.shape[-1]).to(table.dtype)
    return torch.cat([prefix, resized], dim=-2)


def grid_of_rows(
    rows: int, num_prefix: int, source_grid: Sequence[int] | Tensor | None = None, native: Sequence[int] | None = None
) -> tuple[int, int]:
    """Return the grid (h, w) of a checkpoint's position table. The number of rows alone does not determine it.

    Args:
        rows: number of rows of the table.
        num_prefix: number of rows before the first patch.
        source_grid: (h, w) from the file or the user.
        native: (h, w) of the released model. It applies if it has the table's number of patches.

    Returns:
        ``source_grid`` if given, else the released model's grid, else a square.

    Raises:
        UserError: if ``source_grid`` has another number of patches, or if it is not given and no square is possible.
    """
    patches = rows - num_prefix
    if source_grid is not None:
        sides = source_grid.flatten().tolist() if isinstance(source_grid, Tensor) else source_grid
        try:
            h, w = (int(side) for side in sides)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"the grid of the checkpoint's position table must be two integers (h, w), got {one_line(sides, 60)}. Give the "
                "rows and columns of patches as grid=(h, w)"
            ) from error
        if h * w != patches or h < 1:
            raise UserError(
                f"the checkpoint's position table has {rows} rows, {num_prefix} of them before the first patch, so its grid "
                f"cannot be {h} x {w} patches. Correct grid=, or download the file again"
            )
        return h, w
    if native is not None and native[0] * native[1] == patches > 0:
        return native[0], native[1]
    side = math.isqrt(max(patches, 0))
    if side * side != patches or not patches:
        raise UserError(
            f"the checkpoint's position table has {rows} rows, {num_prefix} of them before the first patch; the other "
            f"{patches} form no square grid, and the file does not store the grid. Give its rows and columns as grid=(h, w) in "
            "init_cfg, if the checkpoint is of this model"
        )
    return side, side


def resize_position_table(
    table: Tensor, grid: Sequence[int], num_prefix: int, source_grid: Sequence[int] | Tensor | None = None
) -> Tensor:
    """Resize the patch rows of a position table, see :func:`resample_positions`.

    Args:
        table: (num_prefix + patches, C), any floating dtype.
        grid: (h, w) of the result.
        num_prefix: number of rows before the first patch.
        source_grid: (h, w) of the table; default a square.

    Returns:
        (num_prefix + h * w, C), in the table's dtype; the table itself if it already has this grid.

    Raises:
        UserError: if the table's number of rows does not match ``source_grid``, or a square.
    """
    old = grid_of_rows(table.shape[0], num_prefix, source_grid)
    return table if old == tuple(grid) else resample_positions(table, old, grid, num_prefix)


def resize_patch_kernel(kernel: Tensor, size: Sequence[int], mode: str = "bicubic", antialias: bool = True) -> Tensor:
    """Resize a patch embedding's kernel (C, I, p, p) to another patch size, e.g. 14 to 16.

    The method is the pseudo-inverse of image resizing (FlexiViT, arXiv 2212.08013): a resized image gives the same tokens.
    Half precision is computed in float32. timm's ``resample_patch_embed`` gives the same result, except that it computes
    float64 in float32.

    Args:
        kernel: the kernel, of any floating dtype.
        size: (height, width) of the result.
        mode, antialias: options of ``torch.nn.functional.interpolate`` for the image resizing that is inverted.

    Returns:
        (C, I, height, width), in the kernel's dtype.
    """
    if kernel.shape[2:] == tuple(size):
        return kernel
    wide = widened(kernel)
    # Resizing is linear in the image, so it is a matrix B: column i is the resized image that is 1 at pixel i and 0 elsewhere.
    # For a patch x, the resized kernel v should give v . (B x) = kernel . x. The least-squares solution is kernel . pinv(B).
    pixels = torch.eye(math.prod(kernel.shape[2:]), dtype=wide.dtype, device=wide.device)
    images = pixels.unflatten(1, (1, *kernel.shape[2:]))
    matrix = F.interpolate(images, size=list(size), mode=mode, antialias=antialias).flatten(1).T.contiguous()
    return (wide.flatten(2) @ torch.linalg.pinv(matrix)).unflatten(2, tuple(size)).to(kernel.dtype)


def resize_channels(name: str, kernel: Tensor, channels: int) -> Tensor:
    """Fit the kernel of a network's first convolution from RGB to another number of channels, as timm does.

    For one channel, the three kernels are summed: a grey image gives the same output as its RGB copy. For more channels, the
    three kernels are repeated in turn and scaled by 3 / channels: the output keeps its magnitude.

    Args:
        name: name of the kernel, for messages.
        kernel: (C, I, p, p), any floating dtype.
        channels: number of channels of the result.

    Returns:
        (C, channels, p, p), in the kernel's dtype.

    Raises:
        UserError: if the kernel has neither 3 nor ``channels`` channels.
    """
    if kernel.shape[1] == channels:
        return kernel
    if kernel.shape[1] != 3:
        raise UserError(
            f"the checkpoint is for images of {kernel.shape[1]} channels ({name} has shape {shape_text(kernel.shape)}), the "
            f"model is for {channels} channels. Only weights for 3 channels can be fitted: set in_channels={kernel.shape[1]}"
        )
    wide = widened(kernel)
    if channels == 1:
        return wide.sum(dim=1, keepdim=True).to(kernel.dtype)
    repeated = wide[:, [index % 3 for index in range(channels)]]
    return (repeated * (3 / channels)).to(kernel.dtype)
