"""Pictures of masked images, of the model's reconstruction and of the true codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["CodePatches", "draw_reconstruction", "side_by_side"]

_GREY = 128
_GAP = 4
"""Pixels of white between pictures."""


class CodePatches:
    """Mean image patch of each code of an image tokenizer, as a way to draw codes.

    The tokenizer's own decoder rebuilds a teacher's features, which cannot be drawn.

    Args:
        num_codes: number of codes.
        patch_size: side of a drawn patch in pixels.
    """

    def __init__(self, num_codes: int, patch_size: int = 16) -> None:
        self.patch_size = patch_size
        self.sums = torch.zeros(num_codes, 3, patch_size, patch_size)
        self.counts = torch.zeros(num_codes)

    def add(self, image: Tensor, codes: Tensor, grid: tuple[int, int]) -> None:
        """Add the patches of images to the means of their codes.

        Args:
            image: (B, 3, H, W), uint8.
            codes: (B, h * w).
            grid: (h, w) of the patches.
        """
        patches = _patchify(image, grid, self.patch_size).flatten(0, 1)
        codes = codes.flatten().cpu()
        self.sums.index_add_(0, codes, patches)
        self.counts += torch.bincount(codes, minlength=len(self.counts))

    def draw(self, codes: Tensor, grid: tuple[int, int]) -> np.ndarray:
        """Draw codes (h * w,) as uint8 RGB (h * patch_size, w * patch_size, 3). A code without patches is grey."""
        counts = self.counts[codes.cpu()].view(-1, 1, 1, 1)
        patches = torch.where(counts > 0, self.sums[codes.cpu()] / counts.clamp(min=1), torch.tensor(float(_GREY)))
        return _unpatchify(patches, grid)


def draw_reconstruction(
    image: Tensor, masked: Tensor, codes: Tensor, predicted: Tensor, patches: CodePatches
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image, its masked version, and its masked patches filled with the predicted and with the true codes.

    Args:
        image: (3, H, W), uint8.
        masked: boolean (h, w), True = masked.
        codes: true codes (h * w,).
        predicted: predicted codes (h * w,); only those at masked positions are drawn.
        patches: mean patches of the codes.

    Returns:
        Four pictures (h * patch_size, w * patch_size, 3), uint8 RGB: image, masked, predicted codes, true codes.
    """
    grid = (masked.shape[0], masked.shape[1])
    size = patches.patch_size
    whole = _unpatchify(_patchify(image[None], grid, size)[0], grid)
    hidden = masked.cpu().numpy().repeat(size, 0).repeat(size, 1)[..., None]
    visible = np.where(hidden, np.uint8(_GREY), whole)
    reconstruction, truth = (np.where(hidden, patches.draw(each, grid), whole) for each in (predicted, codes))
    return whole, visible, reconstruction, truth


def side_by_side(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Combine rows of equally large pictures into one picture on white."""
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    sheet = np.full((len(rows) * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = r * (height + _GAP), c * (width + _GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def _patchify(image: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Resize images (B, 3, H, W) to the grid and cut them into patches (B, h * w, 3, side, side), float."""
    h, w = grid
    pixels = torch.nn.functional.interpolate(
        image.cpu().float(), (h * side, w * side), mode="bilinear", antialias=True, align_corners=False
    )
    return pixels.unflatten(3, (w, side)).unflatten(2, (h, side)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def _unpatchify(patches: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Join patches (h * w, 3, side, side) to one picture (h * side, w * side, 3), uint8 RGB."""
    h, w = grid
    picture = patches.unflatten(0, (h, w)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return picture.round().clamp(0, 255).to(torch.uint8).numpy()
