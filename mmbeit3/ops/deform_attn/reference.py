"""Deformable attention in plain PyTorch, the reference for the other kernels.

It runs on all devices and can be traced and exported. Autograd differentiates it once, deterministically on a CPU; on a GPU
the gradient of the values is summed in no fixed order. Gathering cells instead of ``grid_sample`` would have a second
derivative in all versions of PyTorch, but takes four to six times as long forward and backward on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["forward"]


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Compute :func:`mmbeit3.ops.ms_deform_attn` in the dtype of ``locations``: float32 or float64.

    Args:
        value: (B, S, heads, d).
        shapes: (h, w) of each level.
        locations: (B, Q, heads, L, P, 2).
        weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, heads * d), in the dtype of ``value``.
    """
    B, _, heads, d = value.shape
    Q, L, P = locations.shape[1], len(shapes), locations.shape[4]
    if not B * Q:
        return value.new_zeros(B, Q, heads * d) + 0 * (value.sum() + locations.sum() + weights.sum()).to(value.dtype)
    # B * heads is the batch of grid_sample.
    maps = value.to(locations.dtype).permute(0, 2, 3, 1).flatten(0, 1).split([h * w for h, w in shapes], dim=2)
    # (B * heads, d, h * w) each
    points = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * heads, Q, L, P, 2), -1 to 1
    sampled = [
        F.grid_sample(level.unflatten(2, shape), points[:, :, i], mode="bilinear", align_corners=False)
        for i, (level, shape) in enumerate(zip(maps, shapes, strict=True))
    ]  # (B * heads, d, Q, P) each
    shares = weights.transpose(1, 2).reshape(B * heads, 1, Q, L * P)
    output = (torch.cat(sampled, dim=-1) * shares).sum(-1)  # (B * heads, d, Q)
    return output.view(B, heads * d, Q).transpose(1, 2).to(value.dtype)  # (B, Q, heads * d)
