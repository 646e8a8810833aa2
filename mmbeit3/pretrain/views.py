"""From records to what the model sees: random views of images, masked blocks, masked words."""

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
"""Tokens of a text with its special ones, where nothing else is said."""


_LOOKED_AT = 200
"""Texts of a stream, in each worker, of which it is said how many are all unknown."""


class TextIds(Protocol):
    """What is wanted of a text tokenizer."""

    @property
    def mask_id(self) -> int:
        """Id of the mask token."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special ones."""

    def batch(self, texts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
        """Ids (B, T) with special ones, and boolean (B, T), True = pad."""


class RandomView:
    """A random crop of an image, perhaps flipped, its colours changed.

    The jitter of 0.4 is the paper's (table 11); the share of the crop, which it does not state, BEiT v2's.

    Args:
        size: side of the view in pixels.
        least_share: of the image's area, the smallest crop; 1 for the whole image, squeezed into a square.
        jitter: by how much brightness, contrast and saturation may change; 0 for not at all.
        flip: how often to flip; 0 where texts say what is left of what.
    """

    def __init__(self, size: int, least_share: float = 0.2, jitter: float = 0.4, flip: float = 0.5) -> None:
        sampling: dict[str, Any] = {"interpolation": InterpolationMode.BICUBIC, "antialias": True}
        steps: list[torch.nn.Module] = [
            v2.RandomResizedCrop(size, (least_share, 1.0), **sampling)
            if least_share < 1
            else v2.Resize((size, size), **sampling)
        ]
        if flip:
            steps.append(v2.RandomHorizontalFlip(flip))
        if jitter:
            steps.append(v2.ColorJitter(jitter, jitter, jitter))
        self.steps = v2.Compose(steps)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Draw a view (3, size, size), uint8, of an image (H, W, 3), uint8 RGB."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        # torchvision draws from the global generator. torch.manual_seed sees to GPUs too, which takes longer than the view.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            return self.steps(pixels)


class Masking:
    """Put views and texts together to one stream of a step, with some of it hidden.

    Args:
        grid: (h, w) of the model's patches.
        image_ratio: of the patches to hide, in blocks; the paper's 0.4. None for images that are only looked at.
        text_ratio: of the words to hide; the paper's 0.15 in texts, 0.5 in pairs. None for texts that are only read.
        tokenizer: for texts.
        max_length: of a text with its special tokens.
        least_block: patches in the smallest block, see :func:`~mmbeit3.pretrain.mask_blocks`.
        name: of the stream, for the log.
    """

    def __init__(
        self,
        grid: tuple[int, int] = (14, 14),
        image_ratio: float | None = 0.4,
        text_ratio: float | None = 0.15,
        tokenizer: TextIds | None = None,
        max_length: int = MAX_TEXT_LENGTH,
        least_block: int = 16,
        name: str = "",
    ) -> None:
        self.grid = grid
        self.count = None if image_ratio is None else round(image_ratio * grid[0] * grid[1])
        self.text_ratio = text_ratio
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.least_block = least_block
        self.name = name
        self._looked_at: list[str] | None = []

    def __call__(self, samples: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> dict[str, Tensor]:
        """Collate samples with ``view`` (3, S, S), ``text`` (str), or both.

        Returns:
            ``image`` (B, 3, S, S) uint8 and ``masked_positions`` (B, h, w); ``tokens``, ``padding_mask``, ``words`` and
            ``masked_words`` (B, T); without ``masked_positions``, or ``words`` and ``masked_words``, where nothing is to be
            hidden; as :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer` takes them.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        stream: dict[str, Tensor] = {}
        if "view" in samples[0]:
            stream["image"] = torch.stack([sample["view"] for sample in samples])
            if self.count is not None:
                masks = [mask_blocks(self.grid, self.count, self.least_block, generator=generator) for _ in samples]
                stream["masked_positions"] = torch.stack(masks)
        if "text" in samples[0]:
            if self.tokenizer is None:
                raise ValueError("a stream with texts needs a tokenizer")
            texts = [sample["text"] for sample in samples]
            words, padding = self.tokenizer.batch(texts, self.max_length)
            self._look_at(texts)
            if self.text_ratio is None:
                stream.update(tokens=words, padding_mask=padding)
            else:
                # Random words are drawn from the ids below the mask token's, which is the last one.
                mask_id = self.tokenizer.mask_id
                tokens, masked = mask_tokens(words, padding, self.text_ratio, mask_id, mask_id, generator=generator)
                stream.update(tokens=tokens, padding_mask=padding, words=words, masked_words=masked)
        return stream

    def _look_at(self, texts: Sequence[str]) -> None:
        """Say once, of the first texts, how many are all unknown to the vocabulary."""
        if self._looked_at is None or not isinstance(self.tokenizer, TextTokenizer):
            return
        self._looked_at += texts
        if len(self._looked_at) >= _LOOKED_AT:
            report_unknown(self.tokenizer, self._looked_at, f"texts of stream '{self.name}' looked at")
            self._looked_at = None
