"""Captions word by word: what is known of an image and of the words so far is kept, and never computed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.beit3.embedding import UNUSED_POSITIONS, TextEmbedding
from mmbeit3.models.beit3.expert import FeedForward
from mmbeit3.models.beit3.model import BEiT3
from mmbeit3.models.beit3.tower import Tower, run_layer
from mmbeit3.ops import attend

__all__ = ["IncrementalEncoder"]


class IncrementalEncoder:
    """Encode ``[last word, <mask>]`` after an image and earlier words, several beams an image, under captioning's rule.

    Images are encoded once, when this is made: they see no text. Each layer has one buffer of keys and values an image: the
    image's own, which its beams share, then a slot for each word of each beam. A beam attends to the slots of its own past.
    Which these are is a small table, and nothing else is reordered with the beams. The mask token uses the slots of the next
    words, which overwrite them.

    Args:
        network: the network, in evaluation mode.
        image: (B, 3, H, W), normalised.
        mask_id: id of the mask token.
        num_beams: texts K of each image.
        max_steps: most calls of :meth:`step`.

    Raises:
        ValueError: if the network has no positions for so many steps.
    """

    @torch.no_grad()
    def __init__(self, network: BEiT3, image: Tensor, mask_id: int, num_beams: int, max_steps: int) -> None:
        self._embed = cast(TextEmbedding, network.language.embed)
        usable = len(self._embed.positions) - UNUSED_POSITIONS
        if max_steps + 1 > usable:
            raise ValueError(f"{max_steps} steps and the mask token need more than the {usable} text positions of this model")
        self.network = network
        self.mask_id = mask_id
        self.num_beams = num_beams
        self.max_steps = max_steps
        self.steps = 0
        self._caches: list[Tensor] = []
        # The beam in whose slot of step s the word s of a beam is: (B, K, steps).
        self._past = torch.zeros(len(image), num_beams, max_steps, dtype=torch.long, device=image.device)
        tokens, _ = network.vision.embed(image)
        self._num_image = tokens.shape[1]
        for index in range(network.arch.num_layers):
            tokens = self._layer(network.vision, tokens, index, self._attend_image)

    @torch.no_grad()
    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Take one word more of each beam.

        Args:
            words: each beam's last word, ids (B, K); at the first step ``<s>``.
            beams: the beam of the step before which each goes on, (B, K); None where each goes on itself.

        Returns:
            Features of the mask token that stands for the next word, after the final norm: (B, K, C).

        Raises:
            ValueError: after ``max_steps`` steps.
        """
        if self.steps == self.max_steps:
            raise ValueError(f"this encoder was made for {self.max_steps} steps")
        K = self.num_beams
        if beams is not None:
            self._past = self._past.gather(1, beams.unsqueeze(-1).expand_as(self._past))
        self._past[:, :, self.steps] = torch.arange(K, device=words.device)
        first = UNUSED_POSITIONS + self.steps
        positions = self._embed.positions[first : first + 2].repeat_interleave(K, dim=0)
        tokens = self._embed.words(torch.cat([words, torch.full_like(words, self.mask_id)], dim=1)) + positions
        mask = self._mask()
        for index, cache in enumerate(self._caches):
            tokens = self._layer(self.network.language, tokens, index, partial(self._attend_text, cache, mask))
        self.steps += 1
        return self.network.language.norm(tokens[:, K:])

    def keep(self, images: Tensor) -> None:
        """Go on with some of the images alone; the next step's rows are theirs.

        Args:
            images: their indices (B',).
        """
        self._past = self._past[images]
        for index, cache in enumerate(self._caches):
            self._caches[index] = cache[:, images]

    def _layer(self, tower: Tower, tokens: Tensor, index: int, attention: Callable[..., Tensor]) -> Tensor:
        fused = str(index) in self.network.fusion_ffns
        fusion_ffn = cast(FeedForward, self.network.fusion_ffns[str(index)]) if fused else None
        return run_layer([tower], [tokens], index, attention, fusion_ffn)[0]

    def _attend_image(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        B, heads, N, d = k.shape
        cache = k.new_empty(2, B, heads, N + self.num_beams * (self.max_steps + 1), d)
        cache[0, :, :, :N], cache[1, :, :, :N] = k, v
        self._caches.append(cache)
        return attend(q, k, v)

    def _attend_text(self, cache: Tensor, mask: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        start = self._num_image + self.num_beams * self.steps
        stop = start + k.shape[2]
        cache[0, :, :, start:stop], cache[1, :, :, start:stop] = k, v
        keys, values = cache[:, :, :, :stop]
        return attend(q, keys, values, mask)

    def _mask(self) -> Tensor:
        """Who may attend to whom: K words, then K mask tokens, to the image and all slots, (B, 1, 2 K, N + K (steps + 2))."""
        K = self.num_beams
        past = F.one_hot(self._past[:, :, : self.steps + 1], K).flatten(2).bool()
        image = past.new_ones(*past.shape[:2], self._num_image)
        itself = torch.eye(K, dtype=torch.bool, device=past.device).expand(len(past), K, K)
        words = torch.cat([image, past, torch.zeros_like(itself)], dim=2)
        masks = torch.cat([image, past, itself], dim=2)
        return torch.cat([words, masks], dim=1).unsqueeze(1)
