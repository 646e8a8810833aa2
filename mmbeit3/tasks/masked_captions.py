"""Training objective of captioning: predict masked words of a caption from the image and the words before them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import widened

__all__ = ["keep_best", "mask_captions", "smoothed_loss"]

_FIRST_WORD = 3
_BY_MASK, _AS_IT_IS = 0.8, 0.1


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
    device = tokens.device
    free = ~padding_mask
    free[:, 0] = False
    count = (~padding_mask).sum(dim=1)
    wanted = (count.double() * ratio + 0.5).long().clamp(min=1).minimum(count - 1)
    # The places with the lowest of random numbers are chosen.
    order = torch.rand(tokens.shape, generator=generator, device=device).masked_fill(~free, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = order < wanted.unsqueeze(1)
    fate = torch.rand(tokens.shape, generator=generator, device=device)
    words = torch.randint(_FIRST_WORD, mask_id + 1, tokens.shape, generator=generator, device=device)
    replaced = torch.where(fate < _BY_MASK, mask_id, torch.where(fate < _BY_MASK + _AS_IT_IS, tokens, words))
    return torch.where(chosen, replaced, tokens), chosen


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
