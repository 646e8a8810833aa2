"""BLEU and CIDEr-D of captions, without Java."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mmbeit3.text.caption_words import tokenize_caption

__all__ = ["bleu", "cider_d", "tokenize_caption"]

Tokens = Sequence[str]
NGram = tuple[str, ...]

_ORDERS = (1, 2, 3, 4)


def ngrams(tokens: Tokens, order: int) -> Counter[NGram]:
    """Count the n-grams of one order."""
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a corpus (Papineni et al. 2002), from 0 to 1, with the reference length closest to each candidate.

    Args:
        candidates: a caption for each image.
        references: the captions by people of each image, at least one.
    """
    matched, possible = [0] * 4, [0] * 4
    length = wanted = 0
    for candidate, people in zip(candidates, references, strict=True):
        length += len(candidate)
        # Of two equally close lengths the shorter one.
        wanted += min((abs(len(one) - len(candidate)), len(one)) for one in people)[1]
        for index, order in enumerate(_ORDERS):
            most: Counter[NGram] = Counter()
            for one in people:
                most |= ngrams(one, order)
            counts = ngrams(candidate, order)
            matched[index] += (counts & most).total()
            possible[index] += counts.total()
    if not length:
        return [0.0] * 4
    brevity = min(1.0, math.exp(1 - wanted / length))
    scores, product = [], 1.0
    for order in _ORDERS:
        product *= matched[order - 1] / possible[order - 1] if possible[order - 1] else 0.0
        scores.append(brevity * product ** (1 / order))
    return scores


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], sigma: float = 6.0) -> list[float]:
    """CIDEr-D of each image (Vedantam et al., arXiv 1411.5726), from 0 to 10; their mean is the score of a corpus.

    How rare an n-gram is, is counted over the references given: few images make other scores than the whole split.

    Args:
        candidates: a caption for each image.
        references: the captions by people of each image, at least one.
        sigma: width of the penalty for another length, in words.
    """
    found: Counter[NGram] = Counter()
    for people in references:
        found.update({gram for one in people for order in _ORDERS for gram in ngrams(one, order)})
    images = math.log(max(1, len(references)))

    def weigh(tokens: Tokens, order: int) -> tuple[dict[NGram, float], float]:
        weights = {gram: n * (images - math.log(max(1, found[gram]))) for gram, n in ngrams(tokens, order).items()}
        return weights, math.sqrt(sum(weight**2 for weight in weights.values()))

    scores = []
    for candidate, people in zip(candidates, references, strict=True):
        mine = [weigh(candidate, order) for order in _ORDERS]
        total = 0.0
        for one in people:
            penalty = math.exp(-((len(candidate) - len(one)) ** 2) / (2 * sigma**2))
            for order, (weights, norm) in zip(_ORDERS, mine, strict=True):
                others, other_norm = weigh(one, order)
                if norm and other_norm:
                    common = sum(min(w, others[gram]) * others[gram] for gram, w in weights.items() if gram in others)
                    total += penalty * common / (norm * other_norm)
        scores.append(10 * total / len(_ORDERS) / len(people))
    return scores
