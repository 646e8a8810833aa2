"""Masks for masked data modeling: blocks of image patches, and tokens of texts."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from mmbeit3.text.masking import choose_positions, replace_tokens

__all__ = ["mask_blocks", "mask_tokens"]

_MAX_ATTEMPTS = 10
"""Draws for one block before block masking ends, as in BEiT's code."""


def mask_blocks(
    grid: tuple[int, int],
    num_masking_patches: int,
    min_num_patches: int = 16,
    min_aspect: float = 0.3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mask blocks of image patches (BEiT, arXiv 2106.08254, algorithm 1).

    Blocks are added until ten draws in a row fail to place one. Single random patches then fill up to exactly
    ``num_masking_patches``, as in the code of BEiT v2. With 75 of 14 x 14 patches, half a patch on average is filled up.

    Args:
        grid: (h, w) of the patches.
        num_masking_patches: number of patches to mask, at most h * w.
        min_num_patches: number of patches in the smallest block. If fewer patches are left to mask, the block's size is drawn
            between the number left and this number, and the block is used only if it masks at most the number left.
        min_aspect: smallest ratio of a block's height to its width; the largest is ``1 / min_aspect``.
        generator: source of randomness on the CPU.

    Returns:
        Boolean (h, w), True = masked.

    Raises:
        ValueError: if ``num_masking_patches`` is negative or above h * w.
    """
    h, w = grid
    if not 0 <= num_masking_patches <= h * w:
        raise ValueError(f"cannot mask {num_masking_patches} of {h} x {w} patches")
    mask = torch.zeros(h, w, dtype=torch.bool)
    masked = 0
    while masked < num_masking_patches:
        added = _add_block(mask, num_masking_patches - masked, min_num_patches, min_aspect, generator)
        if not added:
            break
        masked += added
    free = (~mask).flatten().nonzero().squeeze(1)
    mask.view(-1)[free[torch.randperm(len(free), generator=generator)[: num_masking_patches - masked]]] = True
    return mask


def _add_block(mask: Tensor, budget: int, min_num_patches: int, min_aspect: float, generator: torch.Generator | None) -> int:
    """Mask one more block in place and return how many new patches it masks, 1 to ``budget``; 0 if no attempt fits."""
    h, w = mask.shape
    max_log_ratio = math.log(1 / min_aspect)
    for _ in range(_MAX_ATTEMPTS):
        area, aspect, top, left = torch.rand(4, generator=generator).tolist()
        # If the budget is below min_num_patches, the block is larger than the budget. It may still fit, as it can overlap
        # patches that are masked already.
        patches = min_num_patches + area * (budget - min_num_patches)
        # Uniform in the logarithm: tall and wide blocks are equally likely.
        ratio = math.exp((2 * aspect - 1) * max_log_ratio)
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
    replace_probs: tuple[float, float] = (0.8, 0.1),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose words of texts to be predicted, and replace them.

    The paper gives the ratios but not the replacement. The default is BERT's (arXiv 1810.04805), which the released captioning
    code uses as well: 80% of the chosen words become the mask token, 10% a random word, and 10% stay.

    Args:
        tokens: ids (B, T).
        padding_mask: boolean (B, T), True = pad.
        ratio: fraction of each text's words to choose, 0 to 1. Their number is rounded, and at least one if the ratio is
            above 0.
        mask_id: id of the mask token.
        num_words: random words are drawn from the ids below this number, without ``special_ids`` and ``mask_id``.
        special_ids: ids that are never chosen.
        replace_probs: fractions of the chosen words that become the mask token and a random word; the rest stays.
        generator: source of randomness on the tokens' device.

    Returns:
        Ids with some replaced (B, T), and boolean (B, T), True = to be predicted.

    Raises:
        ValueError: if ``ratio`` or ``replace_probs`` is outside 0 to 1, or ``replace_probs`` add up to more than 1.
    """
    mask_prob, random_prob = replace_probs
    if not (0 <= ratio <= 1 and mask_prob >= 0 and random_prob >= 0 and mask_prob + random_prob <= 1):
        raise ValueError(
            f"mask_tokens: ratio {ratio} and replace_probs {replace_probs} must be from 0 to 1, with a sum of replace_probs of "
            "at most 1"
        )
    device = tokens.device
    words = ~padding_mask & ~torch.isin(tokens, torch.tensor(sorted(special_ids), device=device))
    num_candidates = words.sum(dim=1)
    counts = (num_candidates * ratio).round().long().clamp(min=int(ratio > 0)).minimum(num_candidates)
    chosen = choose_positions(words, counts, generator)
    ids = torch.arange(num_words, device=device)
    random_ids = ids[~torch.isin(ids, torch.tensor([*special_ids, mask_id], device=device))]
    random_interval = (mask_prob, mask_prob + random_prob)
    return replace_tokens(tokens, chosen, mask_id, random_ids, mask_prob, random_interval, generator), chosen
