"""Training objective of captioning: predict masked words of a caption from the image and the words before them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import widened
from mmbeit3.text.masking import choose_positions, replace_tokens

__all__ = ["keep_best", "mask_captions", "smoothed_loss"]

_FIRST_WORD = 3
_MASK_PROB = 0.8
_RANDOM_INTERVAL = (0.9, 1.0)
"""Random numbers that replace a chosen token by a random one; those from 0.8 to 0.9 keep it, as in the released code."""


def mask_captions(
    tokens: Tensor, padding_mask: Tensor, ratio: float, mask_id: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Choose words to be predicted and replace them, as the released captioning code does.

    Of a text of n tokens, ``<s>`` and ``</s>`` included, ``n * ratio``, rounded half up, are chosen, at least one; ``</s>`` may
    be among them, ``<s>`` never. Of the chosen 80% become the mask token, 10% a random id from 3 to the mask token's, and 10%
    stay.

    Args:
        tokens: ids (B, T), ``<s>`` first.
        padding_mask: boolean (B, T), True = pad.
        ratio: share of a text to choose.
        mask_id: id of the mask token, the last one in use.
        generator: source of randomness on the tokens' device.

    Returns:
        Tokens with some replaced (B, T), and boolean (B, T), True = to be predicted.
    """
    candidates = ~padding_mask
    candidates[:, 0] = False
    length = (~padding_mask).sum(dim=1)
    counts = (length.double() * ratio + 0.5).long().clamp(min=1).minimum(length - 1)
    chosen = choose_positions(candidates, counts, generator)
    random_ids = torch.arange(_FIRST_WORD, mask_id + 1, device=tokens.device)
    return replace_tokens(tokens, chosen, mask_id, random_ids, _MASK_PROB, _RANDOM_INTERVAL, generator), chosen


def smoothed_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Kullback-Leibler divergence between the prediction and the smoothed target.

    The smoothed target gives ``1 - smoothing`` to the true word and spreads ``smoothing`` evenly over all other words.

    Args:
        logits: (M, V).
        targets: ids (M,).
        smoothing: probability of all other words together, from 0 to below 1.

    Returns:
        (M,), never in half precision; 0 where the prediction equals the smoothed target.
    """
    V = logits.shape[1]
    # PyTorch spreads label_smoothing over all V words, the target included; V / (V - 1) corrects for that.
    crossed = F.cross_entropy(widened(logits), targets, label_smoothing=smoothing * V / (V - 1), reduction="none")
    entropy = -(1 - smoothing) * math.log(1 - smoothing)
    if smoothing:
        entropy -= smoothing * math.log(smoothing / (V - 1))
    return crossed - entropy


def keep_best(losses: Tensor, drop_ratio: float) -> Tensor:
    """Drop the highest losses of (M,): the fraction ``drop_ratio``, rounded up; at least one loss is kept."""
    return losses.topk(max(int(len(losses) * (1 - drop_ratio)), 1), largest=False).values
