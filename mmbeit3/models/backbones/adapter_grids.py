"""Geometry of the adapter: positions of one grid's cells on another grid.

A grid starts at the image's top left corner and has square cells of ``stride`` pixels. Its last cells may extend beyond the
image. The ViT's tokens form such a grid (stride = patch size, e.g. 14), and so do the adapter's maps of strides 8, 16 and 32.
Their extents differ: for an image of 100 pixels, 8 cells of 14 pixels span 112, 13 cells of 8 pixels span 104. Positions are
therefore compared in pixels. If the sides of the image are multiples of 32 and the patch size is 16, all extents are equal, and
the positions are the reference's fractions of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import widened
from mmbeit3.ops.caching import cached_constant
from mmbeit3.ops.exporting import exporting

__all__ = ["Grid", "crop", "reference_points", "resample"]


@dataclass(frozen=True)
class Grid:
    """A grid of (h, w) square cells of ``stride`` pixels."""

    h: int
    w: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        return self.h, self.w

    def centres(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
        """Centres of the cells in pixels, (h * w, 2) as (x, y), row-major."""
        y = (torch.arange(self.h, dtype=dtype, device=device) + 0.5) * self.stride
        x = (torch.arange(self.w, dtype=dtype, device=device) + 0.5) * self.stride
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)

    def extent(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
        """Width and height of the whole grid in pixels, (2,)."""
        return torch.tensor([self.w * self.stride, self.h * self.stride], dtype=dtype, device=device)


def reference_points(
    queries: Sequence[Grid], levels: Sequence[Grid], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Compute the positions of the query grids' cells on each level. The points of the last few sizes are cached.

    Args:
        queries: grids whose cells, concatenated, are the queries.
        levels: grids of the value's levels.
        device: device of the points.
        dtype: dtype of the points; half precision is too coarse.

    Returns:
        (1, Q, levels, 2), (x, y) with 0 to 1 spanning each level. Do not write to this tensor: it is cached.
    """
    return _reference_points(tuple(queries), tuple(levels), device, dtype)


@cached_constant
def _reference_points(queries: tuple[Grid, ...], levels: tuple[Grid, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    centres = torch.cat([grid.centres(device, dtype) for grid in queries])  # (Q, 2)
    extents = torch.stack([level.extent(device, dtype) for level in levels])  # (levels, 2)
    return (centres[:, None] / extents[None])[None]  # (1, Q, levels, 2)


def crop(features: Tensor, target: Grid) -> Tensor:
    """Crop a map (B, C, h, w), at most one cell larger than the grid, to (B, C, target.h, target.w)."""
    if exporting():
        # A slice would specialise the graph on whether the map is larger.
        rows, columns = (torch.arange(side, device=features.device) for side in target.shape)
        return features.index_select(2, rows).index_select(3, columns)
    return features[:, :, : target.h, : target.w]


def resample(features: Tensor, source: Grid, target: Grid) -> Tensor:
    """Resample a map bilinearly from one grid to another.

    Args:
        features: (B, C, source.h, source.w).
        source: grid of ``features``.
        target: grid of the result.

    Returns:
        (B, C, target.h, target.w).
    """
    # Compare strides first: unlike sizes, they are never symbolic in a compiled graph.
    if source.stride == target.stride and (exporting() or source.shape == target.shape):
        return features
    if not exporting() and _same_extent(source, target):
        return F.interpolate(features, size=target.shape, mode="bilinear", align_corners=False)
    # If extents are equal, this gives the result of interpolate, but is slower. Graphs for all sizes cannot branch on the size.
    # The target's cell centres as fractions of the source's extent, scaled from 0..1 to the -1..1 of grid_sample.
    wide = widened(features)
    points = target.centres(wide.device, wide.dtype) / source.extent(wide.device, wide.dtype) * 2 - 1
    points = points.view(1, target.h, target.w, 2).expand(features.shape[0], -1, -1, -1)  # (B, h, w, 2)
    sampled = F.grid_sample(
        wide, points, mode="bilinear", padding_mode="border", align_corners=False
    )  # (B, C, target.h, target.w)
    return sampled.to(features.dtype)


def _same_extent(a: Grid, b: Grid) -> bool:
    """Return True if two grids cover the same pixels."""
    return a.h * a.stride == b.h * b.stride and a.w * a.stride == b.w * b.stride
