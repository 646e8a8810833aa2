"""BEiT-3 as a dual encoder, which encodes images and texts separately to vectors of one space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.beit3.arch import Arch
from mmbeit3.models.beit3.init import truncated_normal_
from mmbeit3.models.beit3.model import BEiT3
from mmbeit3.models.beit3.streams import Stream, run_streams
from mmbeit3.ops import Linear, widened

__all__ = ["DualEncoder"]

_TEMPERATURE = 0.07


class DualEncoder(BEiT3):
    """Both towers without joint attention, each with a linear projection of its first token: the class token or ``<s>``.

    Keys are those of the official contrastively tuned and retrieval checkpoints. ``logit_scale`` is the logarithm of the factor
    of the cosine similarities. It starts at a temperature of 0.07 and is not clamped, as in the released code. The mask token
    is kept for checkpoints but frozen, because no patch is masked and distributed training needs a gradient for every trained
    weight.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`; must not have fusion layers.
        **kwargs: arguments of :class:`~mmbeit3.models.beit3.BEiT3`.

    Raises:
        ValueError: for an architecture with fusion layers, which only image-text pairs use.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        if self.arch.num_fusion_layers:
            raise ValueError(
                "DualEncoder encodes images and texts separately: num_fusion_layers must be 0, got "
                f"{self.arch.num_fusion_layers}"
            )
        C = self.arch.embed_dims
        self.vision_head = Linear(C, C, bias=False)
        self.language_head = Linear(C, C, bias=False)
        for head in (self.vision_head, self.language_head):
            truncated_normal_(head.weight)
        # A vector, because FSDP cannot shard scalars. Checkpoint layouts convert the official scalar.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / _TEMPERATURE)]))
        cast(Tensor, self.vision.embed.mask_token).requires_grad_(False)

    def encode_image(self, image: Tensor) -> Tensor:
        """Encode images (B, 3, H, W), normalised, to unit vectors (B, C) in float32 or float64."""
        return _project(self.vision_head, self(image).vision)

    def encode_text(self, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Encode texts to unit vectors (B, C) in float32 or float64.

        Args:
            tokens: ids (B, T), ``<s>`` first.
            padding_mask: boolean (B, T), True = pad.
        """
        return _project(self.language_head, self(tokens=tokens, padding_mask=padding_mask).language)

    def features(self, image: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode any number of images and any number of texts in one pass, without padding.

        Args:
            image: (B, 3, H, W), normalised.
            tokens: ids (B', T), ``<s>`` first.
            padding_mask: boolean (B', T), True = pad.

        Returns:
            Image features (B, C) and text features (B', C), as from :meth:`encode_image` and :meth:`encode_text`.
        """
        images, texts = run_streams(self, [Stream(image=image), Stream(tokens=tokens, padding_mask=padding_mask)])
        return _project(self.vision_head, images.vision), _project(self.language_head, texts.language)


def _project(head: Linear, tokens: Tensor | None) -> Tensor:
    """Project the first token of (B, N, C) to unit vectors (B, C)."""
    return F.normalize(widened(head(cast(Tensor, tokens)[:, 0])), dim=-1)  # (B, C)
