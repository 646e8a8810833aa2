"""Fitting weights made for one image size, patch size or number of channels to another."""

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

    By default bicubic without antialiasing, as BEiT-3's reference does it. Half precision is computed in float32. timm's
    ``resample_abs_pos_embed`` gives the same, but computes float64 in float32, too.

    Args:
        table: (..., num_prefix + old[0] * old[1], C), the patches row-major.
        old: (h, w) of its grid.
        new: (h, w) wanted.
        num_prefix: rows before the first patch, which stay.
        mode, antialias, align_corners: of ``torch.nn.functional.interpolate``.

    Returns:
        (..., num_prefix + new[0] * new[1], C), in the table's dtype.
    """
    prefix, patches = table[..., :num_prefix, :], table[..., num_prefix:, :]
    maps = widened(patches).reshape(-1, old[0], old[1], table.shape[-1]).permute(0, 3, 1, 2)
    resized = F.interpolate(maps, size=list(new), mode=mode, antialias=antialias, align_corners=align_corners)
    resized = resized.permute(0, 2, 3, 1).reshape(*table.shape[:-2], -1, table.shape[-1]).to(table.dtype)
    return torch.cat([prefix, resized], dim=-2)


def grid_of_rows(
    rows: int, num_prefix: int, told: Sequence[int] | Tensor | None = None, native: Sequence[int] | None = None
) -> tuple[int, int]:
    """The grid of a checkpoint's position table, whose number of rows alone does not say it.

    Args:
        rows: of the table.
        num_prefix: of these, the rows before the first patch.
        told: (h, w) that the file or the user says.
        native: (h, w) of the released model; it is the file's if it has as many patches.

    Returns:
        What is told, else the released model's, else the square one.

    Raises:
        UserError: if what is told has another number of patches, or if nothing is and they make no square.
    """
    patches = rows - num_prefix
    if told is not None:
        sides = told.flatten().tolist() if isinstance(told, Tensor) else told
        try:
            h, w = (int(side) for side in sides)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"the grid of the checkpoint's position table must be its rows and columns, got {one_line(sides, 60)}"
            ) from error
        if h * w != patches or h < 1:
            raise UserError(
                f"the checkpoint's position table of {rows} rows, {num_prefix} before the first patch, is of no grid of {h} x "
                f"{w} patches: the file is damaged or grid= is wrong"
            )
        return h, w
    if native is not None and native[0] * native[1] == patches > 0:
        return native[0], native[1]
    side = math.isqrt(max(patches, 0))
    if side * side != patches or not patches:
        raise UserError(
            f"the checkpoint's position table of {rows} rows is {num_prefix} + no square grid of patches, and the file does "
            "not say which grid: give its rows and columns as grid=(h, w) in init_cfg, if it is of this model"
        )
    return side, side


def resize_position_table(
    table: Tensor, grid: Sequence[int], num_prefix: int, source: Sequence[int] | Tensor | None = None
) -> Tensor:
    """Resize the patch rows of a position table, see :func:`resample_positions`.

    Args:
        table: (num_prefix + patches, C), any floating dtype.
        grid: (h, w) wanted.
        num_prefix: rows before the first patch.
        source: (h, w) of the table; default a square.

    Returns:
        (num_prefix + h * w, C), in the table's dtype; the table itself if it is of this grid.

    Raises:
        UserError: if the table's patches make no such grid.
    """
    old = grid_of_rows(table.shape[0], num_prefix, source)
    return table if old == tuple(grid) else resample_positions(table, old, grid, num_prefix)


def resize_patch_kernel(kernel: Tensor, size: Sequence[int], mode: str = "bicubic", antialias: bool = True) -> Tensor:
    """Resize a patch embedding's kernel (C, I, p, p) to another patch size, e.g. 14 to 16.

    By the pseudo-inverse of image resizing (FlexiViT, arXiv 2212.08013), so that a resized image gives the same tokens. Half
    precision is computed in float32. timm's ``resample_patch_embed`` gives the same, but computes float64 in float32, too.

    Args:
        kernel: any floating dtype.
        size: (height, width) wanted.
        mode, antialias: of ``torch.nn.functional.interpolate``, by which the image would be resized.

    Returns:
        (C, I, height, width), in the kernel's dtype.
    """
    if kernel.shape[2:] == tuple(size):
        return kernel
    wide = widened(kernel)
    # Each pixel alone as an image; resized, they are the columns of the matrix that resizes.
    pixels = torch.eye(math.prod(kernel.shape[2:]), dtype=wide.dtype, device=wide.device)
    images = pixels.unflatten(1, (1, *kernel.shape[2:]))
    matrix = F.interpolate(images, size=list(size), mode=mode, antialias=antialias).flatten(1).T.contiguous()
    return (wide.flatten(2) @ torch.linalg.pinv(matrix)).unflatten(2, tuple(size)).to(kernel.dtype)


def resize_channels(name: str, kernel: Tensor, channels: int) -> Tensor:
    """Fit the kernel of a network's first convolution, made for RGB, to images of other channels, as timm does.

    One channel gets the sum of the three, so that a grey image gives what it gave as RGB. More get the three in turn, times 3
    by their number.

    Args:
        name: of the kernel, for the message.
        kernel: (C, I, p, p), any floating dtype.
        channels: wanted.

    Returns:
        (C, channels, p, p), in the kernel's dtype.

    Raises:
        UserError: if the kernel is of neither 3 nor as many channels.
    """
    if kernel.shape[1] == channels:
        return kernel
    if kernel.shape[1] != 3:
        raise UserError(
            f"the checkpoint is for images of {kernel.shape[1]} channels ({name} is {shape_text(kernel.shape)}), the model for "
            f"{channels}: only weights for 3 channels can be fitted to others; set in_channels={kernel.shape[1]}"
        )
    wide = widened(kernel)
    if channels == 1:
        return wide.sum(dim=1, keepdim=True).to(kernel.dtype)
    repeated = wide[:, [index % 3 for index in range(channels)]]
    return (repeated * (3 / channels)).to(kernel.dtype)
