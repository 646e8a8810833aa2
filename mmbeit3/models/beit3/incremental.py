"""Encode captions word by word with a KV cache of the image and the previous words."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.beit3.embedding import UNUSED_POSITIONS, TextEmbedding
from mmbeit3.models.beit3.layer import Attend, Segment, joint_attention
from mmbeit3.models.beit3.model import BEiT3
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops import Residual, attend

__all__ = ["IncrementalEncoder"]


class IncrementalEncoder:
    """Text encoder with a KV cache, for captioning: several beams per image, one word per beam and step.

    In captioning, image tokens do not attend to text, so the constructor encodes the images once and fills the KV cache with
    their keys and values. Each step encodes ``[last word, <mask>]``.

    Each layer has one KV cache per image. It starts with the image's tokens, which all beams share, followed by one slot per
    step and beam. A beam attends only to the slots of its previous words. When beams are reordered, only a table of these slots
    changes, not the cache. The mask token uses the slots of the next step, which the next words overwrite.

    Args:
        network: the network, in evaluation mode.
        image: (B, 3, H, W), normalised.
        mask_id: id of the mask token.
        num_beams: number of beams K per image.
        max_steps: largest number of calls of :meth:`step`.

    Raises:
        ValueError: if the network has too few positions for ``max_steps``.
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
        # Entry (b, k, s): which beam's slot of step s holds word s of beam k.
        self._past = torch.zeros(len(image), num_beams, max_steps, dtype=torch.long, device=image.device)  # (B, K, steps)
        tokens, _ = network.vision.embed(image)  # (B, 1 + N, C)
        self._num_image = tokens.shape[1]
        residual = Residual(tokens)
        for index in range(network.arch.num_layers):
            residual = self._layer(network.vision, residual, index, self._attend_image)

    @torch.no_grad()
    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Encode the last word of each beam, and a mask token in the position of its next word.

        Args:
            words: each beam's last word, ids (B, K); at the first step ``<s>``.
            beams: index of the previous step's beam that each beam continues, (B, K); None if each continues itself.

        Returns:
            Features of the mask tokens, after the final norm: (B, K, C).

        Raises:
            ValueError: after ``max_steps`` steps.
        """
        if self.steps == self.max_steps:
            raise ValueError(
                f"step was called more than max_steps={self.max_steps} times: build the encoder with a larger max_steps"
            )
        K = self.num_beams
        if beams is not None:
            self._past = self._past.gather(1, beams.unsqueeze(-1).expand_as(self._past))
        self._past[:, :, self.steps] = torch.arange(K, device=words.device)
        first = UNUSED_POSITIONS + self.steps
        positions = self._embed.positions[first : first + 2].repeat_interleave(K, dim=0)  # (2 K, C)
        ids = torch.cat([words, torch.full_like(words, self.mask_id)], dim=1)  # (B, 2 K)
        tokens = self._embed.words(ids) + positions  # (B, 2 K, C)
        mask = self._mask()
        residual = Residual(tokens)
        for index, cache in enumerate(self._caches):
            residual = self._layer(self.network.language, residual, index, partial(self._attend_text, cache, mask))
        self.steps += 1
        return self.network.language.norm(residual.sum()[:, K:])

    def keep(self, images: Tensor) -> None:
        """Continue with a subset of the images. The next step takes words of this subset only.

        Args:
            images: indices of the images, (B',).
        """
        self._past = self._past[images]
        for index, cache in enumerate(self._caches):
            self._caches[index] = cache[:, images]

    def _layer(self, tower: Tower, residual: Residual, index: int, attend: Attend) -> Residual:
        attention = partial(joint_attention, attend=attend)
        return self.network.run_layer([Segment(tower, fused=True)], [residual], index, attention)[0]

    def _attend_image(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within image tokens, q, k, v (B, H, N, D), and start the layer's KV cache with k and v."""
        B, H, N, D = k.shape
        cache = k.new_empty(2, B, H, N + self.num_beams * (self.max_steps + 1), D)
        cache[0, :, :, :N], cache[1, :, :, :N] = k, v
        self._caches.append(cache)
        return attend(q, k, v)

    def _attend_text(self, cache: Tensor, mask: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write k, v (B, H, 2 K, D) of this step to the KV cache, and attend to the cache up to this step."""
        start = self._num_image + self.num_beams * self.steps
        stop = start + k.shape[2]
        cache[0, :, :, start:stop], cache[1, :, :, start:stop] = k, v
        keys, values = cache[:, :, :, :stop]  # (B, H, N + K (steps + 2), D) each
        return attend(q, keys, values, mask)

    def _mask(self) -> Tensor:
        """Build the attention mask from K words and K mask tokens to the KV cache.

        Returns:
            (B, 1, 2 K, N + K (steps + 2)), True = may attend.
        """
        K = self.num_beams
        past = F.one_hot(self._past[:, :, : self.steps + 1], K).flatten(2).bool()  # (B, K, K (steps + 1))
        image = past.new_ones(*past.shape[:2], self._num_image)  # (B, K, N)
        itself = torch.eye(K, dtype=torch.bool, device=past.device).expand(len(past), K, K)  # (B, K, K)
        words = torch.cat([image, past, torch.zeros_like(itself)], dim=2)
        masks = torch.cat([image, past, itself], dim=2)
        return torch.cat([words, masks], dim=1).unsqueeze(1)  # (B, 1, 2 K, N + K (steps + 2))
