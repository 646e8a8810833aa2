"""Attention within square windows of the patch grid, for large images (ViTDet, arXiv 2203.16527)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbeit3.ops import attend
from mmbeit3.ops.caching import cached_constant
from mmbeit3.ops.varlen import Sequences, attend_sequences, supports_varlen

__all__ = ["WindowOrder"]


@dataclass(frozen=True)
class _Group:
    """Windows of one size, which cover a rectangle of the grid.

    Attributes:
        rows, columns: (first, last + 1) row and column of the rectangle.
        height, width: size of a window in patches.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the rectangle."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def windows(self) -> tuple[int, int]:
        """Number of windows down and across."""
        return self.shape[0] // self.height, self.shape[1] // self.width

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.windows[0] * self.windows[1]

    @property
    def size(self) -> int:
        """Number of patches in a window."""
        return self.height * self.width


class WindowOrder:
    """Windowed attention on tokens ordered window by window.

    All other modules of a tower, including global attention, do not depend on the order of tokens, so tokens are reordered once
    and not in every block. Windows start at the top left. If a side of the grid is not a multiple of the window, the last
    windows are smaller; padding and masks are not needed. (ViTDet and the reference ViT-Adapter pad them; in the latter, padded
    tokens take part in the softmax.) Patches attend to their window and the prefix tokens, prefix tokens to all tokens.

    A 5 x 4 grid with windows of 2 has two groups: four windows of 2 x 2 in rows 0 to 3, two of 1 x 2 in row 4. Row-major
    patches ``0 1 2 3 / 4 5 6 7 / ...`` are reordered to ``0 1 4 5, 2 3 6 7, ...``.

    Args:
        grid: (h, w) of the patches.
        window_size: side of a window in patches.
        num_prefix: tokens before the first patch (class and register tokens).
    """

    def __init__(self, grid: tuple[int, int], window_size: int, num_prefix: int) -> None:
        self.grid = grid
        self.num_prefix = num_prefix
        self.groups = [
            _Group(rows, columns, height, width)
            for rows, height in _spans(grid[0], window_size)
            for columns, width in _spans(grid[1], window_size)
        ]

    def enter(self, tokens: Tensor) -> Tensor:
        """Reorder tokens (B, P + h * w, C) from row-major patches to windows."""
        patches = tokens[:, self.num_prefix :].unflatten(1, self.grid)  # (B, h, w, C)
        parts = [tokens[:, : self.num_prefix]]
        for group in self.groups:
            part = patches[:, slice(*group.rows), slice(*group.columns)]  # (B, rows, columns, C)
            part = part.unflatten(2, (-1, group.width)).unflatten(1, (-1, group.height)).transpose(2, 3)
            # (B, down, across, height, width, C)
            parts.append(part.flatten(1, 4))  # (B, rows * columns, C)
        return torch.cat(parts, dim=1)  # (B, P + h * w, C)

    def leave(self, tokens: Tensor) -> Tensor:
        """Reorder tokens (B, P + h * w, C) from windows to row-major patches."""
        prefix, *parts = tokens.split([self.num_prefix, *(group.count * group.size for group in self.groups)], dim=1)
        regions = []
        for group, part in zip(self.groups, parts, strict=True):
            part = part.unflatten(1, (*group.windows, group.height, group.width)).transpose(2, 3)
            # (B, down, height, across, width, C)
            regions.append(part.flatten(3, 4).flatten(1, 2))  # (B, rows, columns, C)
        # Groups are ordered row by row: join those with the same rows, then stack the rows.
        columns = sum(group.rows == self.groups[0].rows for group in self.groups)
        rows = [torch.cat(regions[i : i + columns], dim=2) for i in range(0, len(regions), columns)]  # (B, rows, w, C)
        return torch.cat([prefix, *(row.flatten(1, 2) for row in rows)], dim=1)  # (B, P + h * w, C)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within windows: q, k, v and the result are (B, heads, P + h * w, d), ordered window by window.

        On GPUs in half precision this is one call of variable-length attention for all windows and prefix tokens. Otherwise it
        is one call per size of windows and one for the prefix tokens.
        """
        if supports_varlen(q):
            sizes = tuple((group.count, group.size) for group in self.groups)
            return attend_sequences(q, k, v, window_sequences(sizes, self.num_prefix, q.shape[0], q.device))
        return self._attend_groups(q, k, v)

    def _attend_groups(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with one call per group of windows and one for the prefix tokens."""
        P = self.num_prefix
        # The projections' memory has tokens before heads, so in this view a window's tokens are adjacent and need no copy.
        # One split, and not a slice per group: its gradient is one concatenation, and not a sum of padded gradients.
        lengths = [P, *(group.count * group.size for group in self.groups)]
        (q_prefix, *queries), (k_prefix, *keys), (v_prefix, *values) = (
            t.transpose(1, 2).split(lengths, dim=1) for t in (q, k, v)
        )
        # (B, P, heads, d) and, for each group, (B, W * size, heads, d), with W windows in the group
        outputs = [attend(q_prefix.transpose(1, 2), k, v).transpose(1, 2)] if P else []
        for group, *parts in zip(self.groups, queries, keys, values, strict=True):
            windows = [t.unflatten(1, (group.count, group.size)) for t in parts]  # (B, W, size, heads, d) each
            if P:
                prefix = [t[:, None].expand(-1, group.count, -1, -1, -1) for t in (k_prefix, v_prefix)]
                windows[1:] = [torch.cat(pair, dim=2) for pair in zip(prefix, windows[1:], strict=True)]
                # keys and values: (B, W, P + size, heads, d)
            attended = attend(*(t.flatten(0, 1).transpose(1, 2) for t in windows))  # (B * W, heads, size, d)
            outputs.append(attended.transpose(1, 2).unflatten(0, (-1, group.count)).flatten(1, 2))
            # (B, W * size, heads, d)
        return torch.cat(outputs, dim=1).transpose(1, 2)  # (B, heads, P + h * w, d)


@cached_constant
def window_sequences(sizes: Sequence[tuple[int, int]], num_prefix: int, batch: int, device: torch.device) -> Sequences:
    """Describe window attention as sequences: for each sample the prefix tokens, which attend to all tokens, then each window.

    Args:
        sizes: (number of windows, patches in a window) of each group of windows.
        num_prefix: tokens before the first patch, P.
        batch: number of samples.
        device: device of the indices.
    """
    P = num_prefix
    tokens = P + sum(count * size for count, size in sizes)
    lengths = [(count, size, P + size) for count, size in sizes]
    if not P:
        return Sequences.build(lengths, None, batch, tokens, device)
    places = torch.arange(tokens, dtype=torch.int32, device=device)
    rows = [places]
    for (count, size), windows in zip(sizes, places[P:].split([count * size for count, size in sizes]), strict=True):
        rows.append(torch.cat([places[:P].expand(count, P), windows.view(count, size)], dim=1).flatten())  # (W * (P + size),)
    return Sequences.build([(1, P, tokens), *lengths], torch.cat(rows), batch, tokens, device)


def _spans(length: int, window_size: int) -> Sequence[tuple[tuple[int, int], int]]:
    """Split a side into non-empty spans of whole windows and of the rest, each as ((first, last + 1), window length)."""
    whole = length // window_size * window_size
    spans = []
    if whole:
        spans.append(((0, whole), window_size))
    if length - whole:
        spans.append(((whole, length), length - whole))
    return spans
