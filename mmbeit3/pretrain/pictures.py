"""Pictures of what is masked, what the model takes it for, and what it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["CodePatches", "draw_filled_in", "side_by_side"]

_GREY = 128
_GAP = 4


class CodePatches:
    """What each code of an image tokenizer looks like: the mean of the patches that have it.

    A tokenizer's own decoder gives a teacher's features, which nobody can look at.

    Args:
        num_codes: number of codes.
        side: of a drawn patch in pixels.
    """

    def __init__(self, num_codes: int, side: int = 16) -> None:
        self.side = side
        self.sums = torch.zeros(num_codes, 3, side, side)
        self.counts = torch.zeros(num_codes)

    def add(self, image: Tensor, codes: Tensor, grid: tuple[int, int]) -> None:
        """Take in images and their codes.

        Args:
            image: (B, 3, H, W), uint8.
            codes: (B, h * w).
            grid: (h, w).
        """
        patches = _patches(image, grid, self.side).flatten(0, 1)
        codes = codes.flatten().cpu()
        self.sums.index_add_(0, codes, patches)
        self.counts += torch.bincount(codes, minlength=len(self.counts))

    def picture(self, codes: Tensor, grid: tuple[int, int]) -> np.ndarray:
        """Put the codes' patches (h * w,) together: uint8 RGB (h * side, w * side, 3). A code never seen is grey."""
        seen = self.counts[codes.cpu()]
        patches = torch.where(
            seen.view(-1, 1, 1, 1) > 0, self.sums[codes.cpu()] / seen.clamp(min=1).view(-1, 1, 1, 1), torch.tensor(float(_GREY))
        )
        return _together(patches, grid)


def draw_filled_in(
    image: Tensor, masked: Tensor, codes: Tensor, filled_in: Tensor, patches: CodePatches
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image, the image as the model sees it, as it fills it in, and as it would with the true codes.

    Args:
        image: (3, H, W), uint8.
        masked: boolean (h, w).
        codes: the true codes (h * w,).
        filled_in: the same with the model's own where something is masked.
        patches: what codes look like.

    Returns:
        Four pictures (h * side, w * side, 3), uint8 RGB.
    """
    grid = (masked.shape[0], masked.shape[1])
    whole = _together(_patches(image[None], grid, patches.side)[0], grid)
    hidden = masked.cpu().numpy().repeat(patches.side, 0).repeat(patches.side, 1)[..., None]
    seen = np.where(hidden, np.uint8(_GREY), whole)
    said, true = (np.where(hidden, patches.picture(of, grid), whole) for of in (filled_in, codes))
    return whole, seen, said, true


def side_by_side(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of pictures of one size as one picture, on white."""
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    sheet = np.full((len(rows) * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = r * (height + _GAP), c * (width + _GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def _patches(image: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Images (B, 3, H, W) as patches (B, h * w, 3, side, side), float."""
    h, w = grid
    pixels = torch.nn.functional.interpolate(
        image.cpu().float(), (h * side, w * side), mode="bilinear", antialias=True, align_corners=False
    )
    return pixels.unflatten(3, (w, side)).unflatten(2, (h, side)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def _together(patches: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Patches (h * w, 3, side, side) as one picture, uint8 RGB."""
    h, w = grid
    picture = patches.unflatten(0, (h, w)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return picture.round().clamp(0, 255).to(torch.uint8).numpy()
