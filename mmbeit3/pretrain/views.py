"""Random views of images, and collation of records into masked batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from mmbeit3.pretrain.masking import mask_blocks, mask_tokens
from mmbeit3.text.tokenizer import TextTokenizer, report_unknown

__all__ = ["MAX_TEXT_LENGTH", "Masking", "RandomView", "TextIds"]

MAX_TEXT_LENGTH = 64
"""Default of the largest number of tokens of a text, special tokens included."""

_NUM_CHECKED = 200
"""Number of texts of a stream, in each worker, that are checked for words unknown to the vocabulary."""


class TextIds(Protocol):
    """The part of a text tokenizer's interface that masking uses."""

    @property
    def mask_id(self) -> int:
        """Return the id of the mask token."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without special tokens."""

    def batch(self, texts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
        """Return ids (B, T) with special tokens, and boolean (B, T), True = pad."""


class RandomView:
    """Random resized crop, horizontal flip and colour jitter of an image.

    The jitter of 0.4 is the paper's (table 11). The paper does not give the scale of the crop; the default is BEiT v2's. The
    arguments are named as in torchvision's ``RandomResizedCrop`` and timm's ``create_transform``.

    Args:
        size: side of the square view in pixels.
        scale: (min, max) of the crop's area as a fraction of the image's area; None to resize the whole image to a square.
        color_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
        hflip: probability of a horizontal flip; use 0 if texts describe left and right.

    Raises:
        ValueError: if ``scale`` is not a pair with 0 < min <= max <= 1.
    """

    def __init__(
        self, size: int, scale: Sequence[float] | None = (0.2, 1.0), color_jitter: float = 0.4, hflip: float = 0.5
    ) -> None:
        sampling: dict[str, Any] = {"interpolation": InterpolationMode.BICUBIC, "antialias": True}
        steps: list[torch.nn.Module] = []
        if scale is None:
            steps.append(v2.Resize((size, size), **sampling))
        else:
            if not isinstance(scale, Sequence) or len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
                raise ValueError(
                    f"RandomView: scale must be a pair (min, max) with 0 < min <= max <= 1, or None, got {scale!r}"
                )
            steps.append(v2.RandomResizedCrop(size, tuple(scale), **sampling))
        if hflip:
            steps.append(v2.RandomHorizontalFlip(hflip))
        if color_jitter:
            steps.append(v2.ColorJitter(color_jitter, color_jitter, color_jitter))
        self.steps = v2.Compose(steps)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Draw a view (3, size, size), uint8, of an image (H, W, 3), uint8 RGB."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        # torchvision draws from the global generator. Only the CPU generator is seeded: torch.manual_seed also seeds GPUs,
        # which takes longer than the view.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            return self.steps(pixels)


class Masking:
    """Collate views and texts into the batch of a stream, and mask patches and words.

    Args:
        grid: (h, w) of the model's patches.
        image_ratio: fraction of the patches to mask in blocks; 0.4 in the paper. None to leave images unmasked.
        text_ratio: fraction of the words to mask; in the paper 0.15 for texts and 0.5 for pairs. None to leave texts unmasked.
        tokenizer: tokenizer of the texts.
        max_length: largest number of tokens of a text, special tokens included.
        min_num_patches: number of patches in the smallest block, see :func:`~mmbeit3.pretrain.mask_blocks`.
        name: name of the stream, for the log and for errors.

    Raises:
        ValueError: if a ratio is not a number from 0 to 1.
    """

    def __init__(
        self,
        grid: tuple[int, int] = (14, 14),
        image_ratio: float | None = 0.4,
        text_ratio: float | None = 0.15,
        tokenizer: TextIds | None = None,
        max_length: int = MAX_TEXT_LENGTH,
        min_num_patches: int = 16,
        name: str = "",
    ) -> None:
        for kind, ratio in (("image_ratio", image_ratio), ("text_ratio", text_ratio)):
            if ratio is not None and not (isinstance(ratio, int | float) and 0 <= ratio <= 1):
                where = f"stream '{name}': " if name else ""
                raise ValueError(f"{where}{kind} must be a fraction from 0 to 1, or None to mask nothing, got {ratio!r}")
        self.grid = grid
        self.num_masking_patches = None if image_ratio is None else round(image_ratio * grid[0] * grid[1])
        self.text_ratio = text_ratio
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.min_num_patches = min_num_patches
        self.name = name
        self._unchecked: list[str] | None = []

    def __call__(self, samples: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> dict[str, Tensor]:
        """Collate samples with ``view`` (3, S, S), ``text`` (str), or both.

        Returns:
            ``image`` (B, 3, S, S) uint8 and ``masked_positions`` (B, h, w); ``tokens``, ``padding_mask``, ``words`` and
            ``masked_words`` (B, T). Unmasked images come without ``masked_positions``, and unmasked texts without ``words`` and
            ``masked_words``. These are inputs of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`.

        Raises:
            ValueError: if there are texts but no tokenizer.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        stream: dict[str, Tensor] = {}
        if "view" in samples[0]:
            stream["image"] = torch.stack([sample["view"] for sample in samples])
            if self.num_masking_patches is not None:
                masks = [
                    mask_blocks(self.grid, self.num_masking_patches, self.min_num_patches, generator=generator) for _ in samples
                ]
                stream["masked_positions"] = torch.stack(masks)
        if "text" in samples[0]:
            if self.tokenizer is None:
                raise ValueError("a stream with texts needs a tokenizer: give tokenizer=")
            texts = [sample["text"] for sample in samples]
            words, padding = self.tokenizer.batch(texts, self.max_length)
            self._check_vocabulary(texts)
            if self.text_ratio is None:
                stream.update(tokens=words, padding_mask=padding)
            else:
                # The mask token has the last id, so random words come from the ids below it.
                mask_id = self.tokenizer.mask_id
                tokens, masked = mask_tokens(words, padding, self.text_ratio, mask_id, mask_id, generator=generator)
                stream.update(tokens=tokens, padding_mask=padding, words=words, masked_words=masked)
        return stream

    def _check_vocabulary(self, texts: Sequence[str]) -> None:
        """Log once how many of the first texts consist of unknown words only."""
        if self._unchecked is None or not isinstance(self.tokenizer, TextTokenizer):
            return
        self._unchecked += texts
        if len(self._unchecked) >= _NUM_CHECKED:
            report_unknown(self.tokenizer, self._unchecked, f"texts at the start of stream '{self.name}'")
            self._unchecked = None
