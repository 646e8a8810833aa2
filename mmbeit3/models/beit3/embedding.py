"""Embeddings of images and texts."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.checkpoint.positions import PositionTable
from mmbeit3.checkpoint.resizing import resample_positions, resize_position_table
from mmbeit3.models.beit3.arch import Arch
from mmbeit3.ops.exporting import exporting, fixed, tracing

__all__ = ["UNUSED_POSITIONS", "TextEmbedding", "VisionEmbedding"]

_CACHED_SIZES = 8

UNUSED_POSITIONS = 2
"""Number of unused rows at the start of both position tables: positions count from 2 in the released models."""


class VisionEmbedding(PositionTable):
    """Embedding of an image: patches, class token, mask token and positions.

    ``positions`` has ``2 + 1 + patches`` rows: two unused ones (so that released tables load and save unchanged), one for the
    class token, then the patches row-major. For images of another grid the patch rows are resized in the forward pass as in the
    reference: bicubic, without antialiasing, in float32 or float64. A checkpoint's table of another grid is resized when it is
    loaded. A grid that is not square is saved in the state dict as ``position_grid``.

    Args:
        arch: sizes.
        mask_token: build the mask token, which backbones for dense prediction do not need.
        grid: rows and columns of the position table's patch grid; default the architecture's.
        in_channels: channels of images.
    """

    def __init__(self, arch: Arch, mask_token: bool = True, grid: tuple[int, int] | None = None, in_channels: int = 3) -> None:
        super().__init__()
        self.patch_size = arch.patch_size
        self.grid = arch.position_grid() if grid is None else grid
        C = arch.embed_dims
        self.proj = nn.Conv2d(in_channels, C, arch.patch_size, arch.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, C))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, C)) if mask_token else None
        self.positions = nn.Parameter(torch.empty(UNUSED_POSITIONS + 1 + self.grid[0] * self.grid[1], C))
        self._resized: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self._resized_from: tuple[int, int, torch.dtype] | None = None
        self.keep_grid("positions", self.grid)

    def forward(self, image: Tensor, masked: Tensor | None = None) -> tuple[Tensor, tuple[int, int]]:
        """Embed an image of any size. Zeros pad the right and the bottom if a side is not a multiple of the patch size.

        Args:
            image: (B, in_channels, H, W), normalised.
            masked: boolean (B, h * w) or (B, h, w); True patches are replaced by the mask token.

        Returns:
            Tokens (B, 1 + h * w, C), class token first, and the grid (h, w).

        Raises:
            ValueError: if ``masked`` does not have the grid's shape, or the embedding was built without a mask token.
        """
        p = self.patch_size
        # A graph for all sizes cannot branch on the size. It always pads by p - 1: the convolution ignores an incomplete patch.
        bottom, right = (p - 1, p - 1) if exporting() else (-image.shape[2] % p, -image.shape[3] % p)
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom))
        patches = self.proj(image)  # (B, C, h, w)
        B = patches.shape[0]
        h, w = fixed(patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)  # (B, h * w, C)
        if masked is not None:
            tokens = self._mask(tokens, masked)
        # Under autocast patches are half precision; adding float32 positions makes the residual stream float32.
        tokens = torch.cat([self.cls_token.to(tokens.dtype).expand(B, -1, -1), tokens], dim=1)  # (B, 1 + h * w, C)
        return tokens + self._positions((h, w)), (h, w)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        table = self.positions[None, UNUSED_POSITIONS:]  # (1, 1 + h * w, C)
        if exporting():
            # The graph must work for any grid. Resizing to the same grid does not change the table.
            return self._resize(grid)
        compiling = torch.compiler.is_compiling() or tracing()
        training = torch.is_grad_enabled() and table.requires_grad
        if training and not compiling:
            # A step follows, and fused optimizers do not count it in the parameter's version.
            self._resized_from = None
        if grid == self.grid:
            return table
        if training or compiling:
            return self._resize(grid)
        # Resized tables of the last few sizes are cached until the parameter changes.
        source = (self.positions.data_ptr(), self.positions._version, self.positions.dtype)
        if source != self._resized_from:
            self._resized.clear()
            self._resized_from = source
        if grid not in self._resized:
            # A cached inference tensor could not be used outside of inference mode.
            with torch.inference_mode(False), torch.no_grad():
                self._resized[grid] = self._resize(grid)
            if len(self._resized) > _CACHED_SIZES:
                self._resized.popitem(last=False)
        self._resized.move_to_end(grid)
        return self._resized[grid]

    def _resize(self, grid: tuple[int, int]) -> Tensor:
        table = self.positions[None, UNUSED_POSITIONS:]
        return resample_positions(table, self.grid, grid, num_prefix=1)

    def fit_positions(self, table: Tensor, source_grid: Tensor | None) -> Tensor:
        """Resize a loaded table of another grid. Return a table of another width unchanged: PyTorch refuses it."""
        if table.shape[1:] != self.positions.shape[1:]:
            return table
        return resize_position_table(table, self.grid, UNUSED_POSITIONS + 1, source_grid)

    def _mask(self, tokens: Tensor, masked: Tensor) -> Tensor:
        if self.mask_token is None:
            raise ValueError("masked_positions need a mask token: build the vision embedding with mask_token=True")
        flat = masked.flatten(1)  # (B, h * w)
        if flat.dtype != torch.bool or flat.shape != tokens.shape[:2]:
            raise ValueError(
                f"masked_positions must be boolean with one entry for each of {tokens.shape[1]} patches in each of "
                f"{tokens.shape[0]} images, got {masked.dtype} of shape {tuple(masked.shape)}"
            )
        return torch.where(flat.unsqueeze(-1), self.mask_token.to(tokens.dtype), tokens)  # (B, h * w, C)


class TextEmbedding(nn.Module):
    """Embedding of a text: words and positions. Positions start at row 2 of the table. Padded positions are zero vectors.

    Args:
        arch: sizes.
    """

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.words = nn.Embedding(arch.vocab_size, arch.embed_dims)
        self.positions = nn.Parameter(torch.empty(arch.max_text_positions, arch.embed_dims))

    def forward(self, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Embed token ids (B, T) to (B, T, C).

        Args:
            tokens: integer ids (B, T).
            padding_mask: boolean (B, T), True = pad.

        Raises:
            ValueError: if the text is longer than the position table allows.
        """
        usable = self.positions.shape[0] - UNUSED_POSITIONS
        T = tokens.shape[1]
        if usable < T:
            raise ValueError(f"text of {T} tokens is longer than the {usable} positions of this model: shorten it")
        embedded = self.words(tokens) + self.positions[UNUSED_POSITIONS : UNUSED_POSITIONS + T]
        return embedded if padding_mask is None else embedded.masked_fill(padding_mask.unsqueeze(-1), 0.0)
