"""Attention within square windows of the patch grid, for large images (ViTDet, arXiv 2203.16527)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.beit3.tower import Attend, attend

__all__ = ["window_attention"]


def window_attention(grid: tuple[int, int], window_size: int, num_prefix: int) -> Attend:
    """Make an attention in which patches see their own window and the prefix tokens, prefix tokens see everything.

    Windows start at the top left. Where the grid is no multiple of the window, the last windows are filled up with empty
    places that nobody attends to, so a window as large as the grid is exactly global attention. (The reference
    ViT-Adapter lets such places take part in the softmax.)

    Args:
        grid: (h, w) of the patches.
        window_size: side of a window in patches.
        num_prefix: tokens before the first patch (class and register tokens).

    Returns:
        A function of q, k, v (B, heads, num_prefix + h * w, d).
    """
    h, w = grid
    s = window_size
    rows, columns = -(-h // s), -(-w // s)
    bottom, right = rows * s - h, columns * s - w

    def to_windows(patches: Tensor) -> Tensor:
        """(B, heads, h * w, d) to (B, rows * columns, heads, s * s, d)."""
        B, heads, _, d = patches.shape
        patches = patches.reshape(B, heads, h, w, d)
        if bottom or right:
            patches = F.pad(patches, (0, 0, 0, right, 0, bottom))
        patches = patches.view(B, heads, rows, s, columns, s, d).permute(0, 2, 4, 1, 3, 5, 6)
        return patches.reshape(B, rows * columns, heads, s * s, d)

    def from_windows(windows: Tensor) -> Tensor:
        B, _, heads, _, d = windows.shape
        patches = windows.view(B, rows, columns, heads, s, s, d).permute(0, 3, 1, 4, 2, 5, 6)
        return patches.reshape(B, heads, rows * s, columns * s, d)[:, :, :h, :w].reshape(B, heads, h * w, d)

    def visible(device: torch.device) -> Tensor | None:
        """Which keys of each window are real: (windows, 1, 1, num_prefix + s * s), or None where all are."""
        if not bottom and not right:
            return None
        real = torch.ones(1, 1, h * w, 1, dtype=torch.bool, device=device)
        real = to_windows(real).reshape(rows * columns, 1, 1, s * s)
        return F.pad(real, (num_prefix, 0), value=True)

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        B = q.shape[0]
        windows = [to_windows(t[:, :, num_prefix:]) for t in (q, k, v)]
        prefix = [t[:, None, :, :num_prefix].expand(-1, rows * columns, -1, -1, -1) for t in (k, v)]
        keys, values = (torch.cat(pair, dim=3) for pair in zip(prefix, windows[1:], strict=True))
        mask = visible(q.device)
        if mask is not None:
            mask = mask.expand(B, *mask.shape).flatten(0, 1)
        attended = attend(windows[0].flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), mask)
        patches = from_windows(attended.view(B, rows * columns, *attended.shape[1:]))
        if not num_prefix:
            return patches
        return torch.cat([attend(q[:, :, :num_prefix], k, v), patches], dim=2)

    return attention
