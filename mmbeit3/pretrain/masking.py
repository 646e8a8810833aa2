"""What is hidden from the model in masked data modeling: blocks of patches, and tokens of texts."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

__all__ = ["mask_blocks", "mask_tokens"]

_TRIES = 10


def mask_blocks(
    grid: tuple[int, int],
    count: int,
    least_block: int = 16,
    least_aspect: float = 0.3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose patches of an image in blocks (BEiT, arXiv 2106.08254, algorithm 1; exactly ``count``, as BEiT v2's code does).

    Blocks are added until one cannot be placed in ten tries; single patches make up for what is then missing, half a patch on
    average of 75 in 14 x 14.

    Args:
        grid: (h, w) of the patches.
        count: how many to mask, at most all.
        least_block: patches in the smallest block; where fewer are left to mask, a block is drawn with between as many as are
            left and this number, and must not mask more than are left.
        least_aspect: of a block's height and width, the smallest ratio; the largest is its inverse.
        generator: source of randomness on the CPU.

    Returns:
        Boolean (h, w), True = masked.

    Raises:
        ValueError: if there are fewer patches than that.
    """
    h, w = grid
    if not 0 <= count <= h * w:
        raise ValueError(f"cannot mask {count} of {h} x {w} patches")
    mask = torch.zeros(h, w, dtype=torch.bool)
    masked = 0
    while masked < count:
        added = _add_block(mask, count - masked, least_block, least_aspect, generator)
        if not added:
            break
        masked += added
    free = (~mask).flatten().nonzero().squeeze(1)
    mask.view(-1)[free[torch.randperm(len(free), generator=generator)[: count - masked]]] = True
    return mask


def _add_block(mask: Tensor, budget: int, least_block: int, least_aspect: float, generator: torch.Generator | None) -> int:
    """Mask one more block, in place, if one of some tries covers between 1 and ``budget`` new patches; returns how many."""
    h, w = mask.shape
    bound = math.log(1 / least_aspect)
    for _ in range(_TRIES):
        area, aspect, top, left = torch.rand(4, generator=generator).tolist()
        # Also where fewer are left than the smallest block has: of such a block a part may be masked already.
        patches = least_block + area * (budget - least_block)
        ratio = math.exp((2 * aspect - 1) * bound)
        rows, columns = round(math.sqrt(patches * ratio)), round(math.sqrt(patches / ratio))
        if not (0 < rows < h and 0 < columns < w):
            continue
        y, x = int(top * (h - rows + 1)), int(left * (w - columns + 1))
        block = mask[y : y + rows, x : x + columns]
        new = int((~block).sum())
        if 0 < new <= budget:
            block.fill_(True)
            return new
    return 0


def mask_tokens(
    tokens: Tensor,
    padding_mask: Tensor,
    ratio: float,
    mask_id: int,
    num_words: int,
    special_ids: Collection[int] = (0, 1, 2),
    replaced: tuple[float, float] = (0.8, 0.1),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose tokens of texts and replace them.

    The paper states the ratios, not what masked tokens are replaced by. The default is BERT's (arXiv 1810.04805), which the
    released captioning code uses as well: of the chosen ones 80% become the mask token, 10% a random word, and 10% stay.

    Args:
        tokens: ids (B, T).
        padding_mask: boolean (B, T), True = pad.
        ratio: of each text's words to choose, rounded, at least one.
        mask_id: id of the mask token.
        num_words: random words are drawn from the ids below, special ones left out.
        special_ids: ids that are never chosen.
        replaced: shares of the chosen that become the mask token and a random word.
        generator: source of randomness on the tokens' device.

    Returns:
        Tokens with some replaced (B, T), and boolean (B, T), True = to be predicted.

    Raises:
        ValueError: if the shares are no shares.
    """
    by_mask, by_word = replaced
    if not (0 <= ratio <= 1 and by_mask >= 0 and by_word >= 0 and by_mask + by_word <= 1):
        raise ValueError(f"mask_tokens: ratio {ratio} and replaced {replaced} must be shares")
    device = tokens.device
    special = torch.tensor(sorted(special_ids), device=device)
    words = ~padding_mask & ~torch.isin(tokens, special)
    counts = words.sum(dim=1)
    wanted = (counts * ratio).round().long().clamp(min=int(ratio > 0)).minimum(counts)
    # The words with the lowest of random numbers are chosen.
    order = torch.rand(tokens.shape, generator=generator, device=device).masked_fill(~words, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = order < wanted.unsqueeze(1)
    fate = torch.rand(tokens.shape, generator=generator, device=device)
    words_alone = torch.arange(num_words, device=device)
    ordinary = words_alone[~torch.isin(words_alone, torch.tensor([*special_ids, mask_id], device=device))]
    random_words = ordinary[torch.randint(len(ordinary), tokens.shape, generator=generator, device=device)]
    result = torch.where(chosen & (fate < by_mask), mask_id, tokens)
    return torch.where(chosen & (fate >= by_mask) & (fate < by_mask + by_word), random_words, result), chosen
