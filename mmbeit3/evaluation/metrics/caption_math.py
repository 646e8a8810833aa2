"""BLEU and CIDEr-D of captions in plain Python; no Java is needed."""

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
    """Count the n-grams of one order, which is the number of tokens per n-gram."""
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """Return BLEU-1 to BLEU-4 of a corpus (Papineni et al. 2002), from 0 to 1.

    The reference length of an image is that of the reference whose length is closest to the candidate's.

    Args:
        candidates: tokens of one caption per image.
        references: tokens of the reference captions of each image, at least one.
    """
    matched, possible = [0] * 4, [0] * 4
    length = reference_length = 0
    for candidate, captions in zip(candidates, references, strict=True):
        length += len(candidate)
        # Of two equally close lengths, take the shorter one.
        reference_length += min((abs(len(caption) - len(candidate)), len(caption)) for caption in captions)[1]
        for index, order in enumerate(_ORDERS):
            most: Counter[NGram] = Counter()
            for caption in captions:
                most |= ngrams(caption, order)
            counts = ngrams(candidate, order)
            matched[index] += (counts & most).total()
            possible[index] += counts.total()
    if not length:
        return [0.0] * 4
    brevity = min(1.0, math.exp(1 - reference_length / length))
    scores, product = [], 1.0
    for order in _ORDERS:
        product *= matched[order - 1] / possible[order - 1] if possible[order - 1] else 0.0
        scores.append(brevity * product ** (1 / order))
    return scores


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], sigma: float = 6.0) -> list[float]:
    """Return CIDEr-D of each image (Vedantam et al., arXiv 1411.5726), from 0 to 10; the mean is the score of a corpus.

    Document frequencies are counted over the given references, so a subset of a split gives other scores than the whole split.

    Args:
        candidates: tokens of one caption per image.
        references: tokens of the reference captions of each image, at least one.
        sigma: standard deviation of the Gaussian length penalty, in words.
    """
    document_counts: Counter[NGram] = Counter()
    for captions in references:
        document_counts.update({gram for caption in captions for order in _ORDERS for gram in ngrams(caption, order)})
    log_images = math.log(max(1, len(references)))

    def tf_idf(tokens: Tokens, order: int) -> tuple[dict[NGram, float], float]:
        weights = {
            gram: count * (log_images - math.log(max(1, document_counts[gram])))
            for gram, count in ngrams(tokens, order).items()
        }
        return weights, math.sqrt(sum(weight**2 for weight in weights.values()))

    scores = []
    for candidate, captions in zip(candidates, references, strict=True):
        candidate_vectors = [tf_idf(candidate, order) for order in _ORDERS]
        total = 0.0
        for caption in captions:
            penalty = math.exp(-((len(candidate) - len(caption)) ** 2) / (2 * sigma**2))
            for order, (weights, norm) in zip(_ORDERS, candidate_vectors, strict=True):
                others, other_norm = tf_idf(caption, order)
                if norm and other_norm:
                    common = sum(min(w, others[gram]) * others[gram] for gram, w in weights.items() if gram in others)
                    total += penalty * common / (norm * other_norm)
        scores.append(10 * total / len(_ORDERS) / len(captions))
    return scores
