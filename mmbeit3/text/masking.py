"""Random selection and replacement of tokens for masked language modeling."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["choose_positions", "replace_tokens"]


def choose_positions(candidates: Tensor, counts: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Choose positions of each row at random, without replacement.

    Args:
        candidates: boolean (B, T), True = may be chosen.
        counts: number of positions to choose in each row (B,), at most the row's number of candidates.
        generator: source of randomness on the device of ``candidates``.

    Returns:
        Boolean (B, T), True = chosen.
    """
    scores = torch.rand(candidates.shape, generator=generator, device=candidates.device)
    # Random numbers are below 1, so 2 sorts all other positions behind the candidates. The second argsort turns the sorting
    # order into ranks, and a row's `count` lowest ranks are chosen.
    ranks = scores.masked_fill(~candidates, 2.0).argsort(dim=1).argsort(dim=1)
    return ranks < counts.unsqueeze(1)


def replace_tokens(
    tokens: Tensor,
    chosen: Tensor,
    mask_id: int,
    random_ids: Tensor,
    mask_prob: float,
    random_interval: tuple[float, float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Replace chosen tokens by the mask token or by random ones, or keep them.

    A uniform random number in [0, 1) is drawn for each position and decides what happens to a chosen token.

    Args:
        tokens: ids (B, T).
        chosen: boolean (B, T), True = to be predicted.
        mask_id: id of the mask token.
        random_ids: ids (K,) from which random tokens are drawn.
        mask_prob: numbers below this give the mask token.
        random_interval: (low, high); numbers in [low, high), low at least ``mask_prob``, give a random token. All other numbers
            keep the token.
        generator: source of randomness on the tokens' device.

    Returns:
        Ids (B, T).
    """
    low, high = random_interval
    device = tokens.device
    # Both are drawn for all positions, not for the chosen ones only: the generator then advances by a fixed amount.
    draws = torch.rand(tokens.shape, generator=generator, device=device)
    random_tokens = random_ids[torch.randint(len(random_ids), tokens.shape, generator=generator, device=device)]
    masked = torch.where(chosen & (draws < mask_prob), mask_id, tokens)
    return torch.where(chosen & (draws >= low) & (draws < high), random_tokens, masked)
