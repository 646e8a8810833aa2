"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ms_deform_attn"]


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum values sampled at given points, weighted.

    Sampling is bilinear between cell centres (``align_corners=False``), zero outside of a map. Coordinates are used in
    float32 whatever the values' type, since half precision misses by up to a twentieth of a cell on large maps.

    Args:
        value: (B, S, heads, d), the cells of all levels row-major one after another, S = sum of h * w.
        spatial_shapes: (h, w) of each of L levels; Python ints avoid a device synchronisation.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y) with 0 to 1 spanning the level's map.
        attention_weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    shapes = [(int(h), int(w)) for h, w in spatial_shapes]
    _check(value, shapes, sampling_locations, attention_weights)
    B, _, heads, d = value.shape
    Q, L, P = sampling_locations.shape[1], len(shapes), sampling_locations.shape[4]
    # (B, heads, ...) become the batch of grid_sample.
    maps = value.float().permute(0, 2, 3, 1).flatten(0, 1).split([h * w for h, w in shapes], dim=2)
    points = (2 * sampling_locations.float() - 1).transpose(1, 2).flatten(0, 1)
    sampled = [
        F.grid_sample(level.unflatten(2, shape), points[:, :, i], mode="bilinear", align_corners=False)
        for i, (level, shape) in enumerate(zip(maps, shapes, strict=True))
    ]
    weights = attention_weights.float().transpose(1, 2).reshape(B * heads, 1, Q, L * P)
    output = (torch.cat(sampled, dim=-1) * weights).sum(-1)
    return output.view(B, heads * d, Q).transpose(1, 2).to(value.dtype)


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    if value.ndim != 4 or locations.ndim != 6 or locations.shape[-1] != 2:
        raise ValueError(
            "ms_deform_attn needs value (B, S, heads, d) and sampling_locations (B, Q, heads, L, P, 2), "
            f"got {tuple(value.shape)} and {tuple(locations.shape)}"
        )
    cells = sum(h * w for h, w in shapes)
    if value.shape[1] != cells:
        raise ValueError(f"ms_deform_attn: value has {value.shape[1]} cells, the spatial shapes {shapes} have {cells}")
    B, _, heads, _ = value.shape
    wanted = (B, locations.shape[1], heads, len(shapes), locations.shape[4])
    if locations.shape[:5] != wanted or weights.shape != wanted:
        raise ValueError(
            f"ms_deform_attn: sampling_locations and attention_weights must start with (B, Q, heads, L, P) = {wanted}, "
            f"got {tuple(locations.shape[:5])} and {tuple(weights.shape)}"
        )
