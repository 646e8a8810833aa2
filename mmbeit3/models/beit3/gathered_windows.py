"""Windowed attention in a form whose graph holds for grids of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import attend

__all__ = ["GatheredWindows"]


class GatheredWindows:
    """The attention of :class:`~mmbeit3.models.beit3.windows.WindowOrder`, for tokens in their usual order.

    There the number of rectangles that the windows make up depends on the grid. Here all windows are whole: those at the right
    and at the bottom repeat the grid's last column and row, which nothing attends to. That costs copies and masks in each
    block, so it is for exported graphs only.

    Args:
        grid: (h, w) of the patches.
        window_size: side of a window in patches.
        num_prefix: tokens before the first patch (class and register tokens).
        device: where to make the indices.
    """

    def __init__(self, grid: tuple[int, int], window_size: int, num_prefix: int, device: torch.device) -> None:
        h, w = grid
        size, area = window_size, window_size**2
        down, across = (h + size - 1) // size, (w + size - 1) // size
        self.num_prefix = num_prefix
        self.area = area
        # Numbers of places all in one dimension: broadcasting would have to know which sides are 1.
        # For the same reason there is one more window than needed: they are never one.
        place = torch.arange((down * across + 1) * area, device=device)
        window, within = place // area, place % area
        # The remainder by hand: ONNX's exporter has none by a number that is not known.
        row, column = window // across, window - window // across * across
        row, column = row * size + within // size, column * size + within % size
        self.patch_at = row.clamp(max=h - 1) * w + column.clamp(max=w - 1)
        real = ((row < h) & (column < w)).view(-1, area)
        self.visible = F.pad(real, (num_prefix, 0), value=True)
        patch = torch.arange(h * w, device=device)
        row, column = patch // w, patch - patch // w * w
        self.place_of = (row // size * across + column // size) * area + row % size * size + column % size

    def enter(self, tokens: Tensor) -> Tensor:
        """Tokens (B, P + h * w, C) stay as they are."""
        return tokens

    def leave(self, tokens: Tensor) -> Tensor:
        """Tokens (B, P + h * w, C) stay as they are."""
        return tokens

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within windows: q, k, v and the result are (B, heads, P + h * w, d)."""
        P = self.num_prefix
        heads = q.shape[1]
        queries, keys, values = (t[:, :, P:].index_select(2, self.patch_at).unflatten(2, (-1, self.area)) for t in (q, k, v))
        if P:
            windows = self.visible.shape[0]
            prefix = [t[:, :, None, :P].expand(-1, -1, windows, -1, -1) for t in (k, v)]
            keys, values = (torch.cat(pair, dim=3) for pair in zip(prefix, (keys, values), strict=True))
        # To attention a window of a head is a head.
        mask = self.visible.expand(heads, -1, -1).flatten(0, 1)[None, :, None]
        attended = attend(queries.flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2), mask)
        patches = attended.unflatten(1, (heads, -1)).flatten(2, 3).index_select(2, self.place_of)
        return torch.cat([attend(q[:, :, :P], k, v), patches], dim=2) if P else patches
