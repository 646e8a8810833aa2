"""Constants of Mask2Former's decoders that depend on the sizes of the maps only. Those of the last few sizes are cached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmbeit3.models.heads.transfer import to_device
from mmbeit3.ops.caching import cached_constant

__all__ = ["LevelGeometry", "level_geometry", "sine_positions"]

LevelGeometry = tuple[Tensor, Tensor, Tensor]
"""Reference points (1, S, levels, 2), shapes (levels, 2) and starts (levels,) of S cells on several levels."""

_SINE_ARGUMENTS = ("num_feats", "temperature", "normalize", "scale", "eps", "offset")


def sine_positions(encoding: Any, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Encode the positions of a map without padding.

    Args:
        encoding: mmdet's ``SinePositionalEncoding``.
        shape: (h, w) of the map.
        device: device of the result.

    Returns:
        (1, h * w, C), float32. Do not write to this tensor: it is cached.
    """
    arguments = tuple(getattr(encoding, name) for name in _SINE_ARGUMENTS)
    return _sine_positions(arguments, *shape, device)


def level_geometry(shapes: Sequence[tuple[int, int]], device: torch.device) -> LevelGeometry:
    """Return what deformable attention needs to know about its levels.

    Args:
        shapes: (h, w) of each level; the cells of the levels are the queries, and each level covers the whole image.
        device: device of the result.

    Returns:
        The centres of all cells as fractions of the image, for each level, (1, S, levels, 2) float32; the shapes, (levels, 2)
        int64; the position of each level's first cell, (levels,) int64. Do not write to these tensors: they are cached.
    """
    return _level_geometry(tuple(shapes), device)


@cached_constant
def _sine_positions(arguments: tuple[Any, ...], h: int, w: int, device: torch.device) -> Tensor:
    from mmdet.models.layers import SinePositionalEncoding

    encoding = SinePositionalEncoding(**dict(zip(_SINE_ARGUMENTS, arguments, strict=True)))
    encoded: Tensor = encoding(torch.zeros(1, h, w, dtype=torch.bool, device=device))  # (1, C, h, w)
    return encoded.flatten(2).transpose(1, 2).contiguous()


@cached_constant
def _level_geometry(shapes: tuple[tuple[int, int], ...], device: torch.device) -> LevelGeometry:
    centres = []
    for h, w in shapes:
        y, x = (torch.arange(0.5, side) / side for side in (h, w))
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1))
    points = torch.cat(centres)[None, :, None].repeat(1, 1, len(shapes), 1)
    sizes = torch.tensor(shapes)
    starts = sizes.prod(dim=1).cumsum(dim=0) - sizes.prod(dim=1)
    return to_device(points, device), to_device(sizes, device), to_device(starts, device)
