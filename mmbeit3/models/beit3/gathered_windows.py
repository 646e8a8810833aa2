"""Windowed attention whose exported graph works for grids of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import attend

__all__ = ["GatheredWindows"]


class GatheredWindows:
    """The attention of :class:`~mmbeit3.models.beit3.windows.WindowOrder`, for tokens in row-major order.

    In ``WindowOrder`` the number of window groups depends on the grid, so one graph cannot cover all grids. Here all windows
    have the same size: those at the right and at the bottom are filled with copies of the grid's last column and row, which
    the mask hides. Each block needs copies and a mask, so this class is used for exported graphs only.

    Args:
        grid: (h, w) of the patches.
        window_size: side of a window in patches.
        num_prefix: tokens before the first patch (class and register tokens).
        device: device of the indices.
    """

    def __init__(self, grid: tuple[int, int], window_size: int, num_prefix: int, device: torch.device) -> None:
        h, w = grid
        size, area = window_size, window_size**2
        down, across = (h + size - 1) // size, (w + size - 1) // size
        self.num_prefix = num_prefix
        self.area = area
        # All indices have one dimension: broadcasting (down, 1) with (1, across) would specialise the graph to sides that are 1
        # or to sides that are not. For the same reason there is one more window than needed: their number is never 1.
        place = torch.arange((down * across + 1) * area, device=device)
        window, within = place // area, place % area
        # Computed without %: ONNX's exporter does not support the remainder by a dynamic number.
        row, column = window // across, window - window // across * across
        # Row and column of each place in the grid, from those of its window.
        row, column = row * size + within // size, column * size + within % size
        self.patch_at = row.clamp(max=h - 1) * w + column.clamp(max=w - 1)  # (W * area,), W windows
        real = ((row < h) & (column < w)).view(-1, area)  # (W, area)
        self.visible = F.pad(real, (num_prefix, 0), value=True)  # (W, P + area)
        patch = torch.arange(h * w, device=device)
        row, column = patch // w, patch - patch // w * w
        self.place_of = (row // size * across + column // size) * area + row % size * size + column % size
        # (h * w,), the inverse of patch_at

    def enter(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, P + h * w, C) unchanged."""
        return tokens

    def leave(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, P + h * w, C) unchanged."""
        return tokens

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within windows: q, k, v and the result are (B, heads, P + h * w, d)."""
        P = self.num_prefix
        heads = q.shape[1]
        queries, keys, values = (t[:, :, P:].index_select(2, self.patch_at).unflatten(2, (-1, self.area)) for t in (q, k, v))
        # (B, heads, W, area, d) each
        if P:
            windows = self.visible.shape[0]
            prefix = [t[:, :, None, :P].expand(-1, -1, windows, -1, -1) for t in (k, v)]
            keys, values = (torch.cat(pair, dim=3) for pair in zip(prefix, (keys, values), strict=True))
            # (B, heads, W, P + area, d) each
        # Each window of each head is passed to attention as one head.
        mask = self.visible.expand(heads, -1, -1).flatten(0, 1)[None, :, None]  # (1, heads * W, 1, P + area)
        attended = attend(queries.flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2), mask)
        # (B, heads * W, area, d)
        patches = attended.unflatten(1, (heads, -1)).flatten(2, 3).index_select(2, self.place_of)
        # (B, heads, h * w, d)
        return torch.cat([attend(q[:, :, :P], k, v), patches], dim=2) if P else patches
