"""From scores of the next word to whole captions: beam search and sampling, for several images at once."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops import widened

__all__ = ["NextWords", "ScoredText", "beam_search", "best_texts", "sample", "top_p_words"]

_CANDIDATES_A_BEAM = 3
_NEVER = -1e9
"""Score of the beams that at the start are no others than the first."""


class NextWords(Protocol):
    """What knows the likely words after those so far, K beams an image."""

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Scores of the words after ``words`` (B, K), before softmax: (B, K, V); ``beams`` (B, K) are those gone on with."""

    def keep(self, images: Tensor) -> None:
        """Go on with these images (B',) alone."""


class ScoredText(NamedTuple):
    """A caption of a beam search.

    Attributes:
        ids: from ``<s>`` to ``</s>``.
        score: see :func:`best_texts`; the higher, the better.
    """

    ids: list[int]
    score: float


def beam_search(
    next_words: NextWords,
    start: Tensor,
    num_beams: int = 3,
    max_length: int = 64,
    length_penalty: float = 0.6,
    eos_id: int = 2,
    min_length: int = 0,
) -> list[list[int]]:
    """Look for each image's best caption: the first of :func:`best_texts`, which says what arguments and errors are.

    Returns:
        For each image ids from ``<s>`` to ``</s>``.
    """
    found = best_texts(next_words, start, 1, num_beams, max_length, length_penalty, eos_id, min_length)
    return [texts[0].ids for texts in found]


@torch.no_grad()
def best_texts(
    next_words: NextWords,
    start: Tensor,
    num_texts: int = 1,
    num_beams: int = 3,
    max_length: int = 64,
    length_penalty: float = 0.6,
    eos_id: int = 2,
    min_length: int = 0,
) -> list[list[ScoredText]]:
    """Look for each image's best captions, as the released captioning code does for one.

    A caption's score is the sum of its words' log-probabilities, ``</s>`` included, divided by its length to the power of
    ``length_penalty``. One that gets no further by ``max_length`` ends there; what would have been its next word counts as
    ``</s>``. An image is done when no beam can outdo the last of its best captions, even if it went on to the end for nothing.
    With one beam this is greedy search, but one that goes on after ``</s>`` in case a longer caption is better; without a
    length penalty there is no such case.

    Args:
        next_words: fresh, for as many beams.
        start: the first word of each image, ``<s>``: ids (B,).
        num_texts: captions of each image, up to ``num_beams``. The search goes on until so many are found.
        num_beams: texts that are followed at a time.
        max_length: most tokens as the released code counts them, ``<s>``, a mask token and ``</s>`` included: captions have
            up to ``max_length - 3`` words.
        length_penalty: 0 favours short captions most.
        eos_id: id of ``</s>``.
        min_length: fewest words (tokens, without ``<s>`` and ``</s>``); before, ``</s>`` is not chosen. The other words'
            probabilities stay what they are.

    Returns:
        For each image its captions, best first, all different; fewer only where the vocabulary has fewer texts so short.

    Raises:
        ValueError: for no beams, lengths without room for a word or for ``min_length``, or more texts than beams.
    """
    if num_beams < 1 or max_length < 4:
        raise ValueError(f"beam search needs a beam and a max_length of at least 4, got {num_beams} and {max_length}")
    if not 1 <= num_texts <= num_beams:
        raise ValueError(f"beam search finds 1 to {num_beams} texts with {num_beams} beams, not {num_texts}")
    _check_least(min_length, max_length)
    B, K = len(start), num_beams
    ended = _Ended(start, num_texts, max_length, eos_id)
    going = torch.arange(B, device=start.device)
    texts = start.view(B, 1, 1).expand(B, K, 1)
    scores = torch.full((B, K), _NEVER, device=start.device)
    scores[:, 0] = 0
    beams: Tensor | None = None
    # Of <s>, the words so far, and the mask token.
    for length in range(2, max_length):
        log_probs = widened(next_words.step(texts[:, :, -1], beams)).log_softmax(dim=-1)
        if length - 2 < min_length:
            log_probs[..., eos_id] = -torch.inf
        last = length + 1 == max_length
        found, parents, words = _candidates(scores.unsqueeze(-1) + log_probs, last)
        # No sum gets better on the way, so what is done stays so.
        done = ended.worst(going) >= found[:, 0] / (max_length - 1) ** length_penalty
        closes = torch.ones_like(words, dtype=torch.bool) if last else words == eos_id
        # Candidates are looked at in order until all beams have been filled.
        counted = closes & ((~closes).cumsum(dim=1) < K) & (found > _NEVER / 2) & ~done.unsqueeze(1)
        closed = (found / length**length_penalty).masked_fill(~counted, -torch.inf)
        ended.add(going, closed, _rows(texts, parents))
        if last or done.all():
            break
        # The first K that don't close go on.
        order = closes.int().argsort(dim=1, stable=True)[:, :K]
        beams, scores = parents.gather(1, order), found.gather(1, order)
        texts = torch.cat([_rows(texts, beams), words.gather(1, order).unsqueeze(-1)], dim=2)
        if _worth_leaving(done):
            rest = (~done).nonzero().squeeze(1)
            going, beams, scores, texts = going[rest], beams[rest], scores[rest], texts[rest]
            next_words.keep(rest)
    return ended.best()


def _candidates(totals: Tensor, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the best continuations, best first, the beams that they continue and their words: (B, count) each.

    Args:
        totals: scores (B, K, V) of each beam with each word.
        last: whether all texts end here. Then a beam counts once, by its likeliest word.
    """
    if last:
        likeliest, words = totals.max(dim=-1)
        found, parents = likeliest.sort(dim=1, descending=True, stable=True)
        return found, parents, words.gather(1, parents)
    K, V = totals.shape[1:]
    found, places = totals.flatten(1).topk(_CANDIDATES_A_BEAM * K)
    return found, places // V, places % V


class _Ended:
    """The best texts that ended so far, of each image.

    Args:
        start: as in :func:`best_texts`.
        count: texts to keep of each.
        max_length: room for a text.
        eos_id: what follows a text.
    """

    def __init__(self, start: Tensor, count: int, max_length: int, eos_id: int) -> None:
        self.eos_id = eos_id
        self.scores = torch.full((len(start), count), -torch.inf, device=start.device)
        self.texts = start.new_full((len(start), count, max_length), eos_id)

    def worst(self, images: Tensor) -> Tensor:
        """What a text must outdo to be kept (B',); minus infinity while there is room."""
        return self.scores[images, -1]

    def add(self, images: Tensor, scores: Tensor, texts: Tensor) -> None:
        """Keep the best of what there is and of new texts (B', n, T), scores (B', n); those of minus infinity are none."""
        self.scores = self.scores.to(scores.dtype)
        count, length = self.texts.shape[1:]
        # Of equal ones those that were there stay.
        scores, order = torch.cat([self.scores[images], scores], dim=1).sort(dim=1, descending=True, stable=True)
        padded = F.pad(texts, (0, length - texts.shape[2]), value=self.eos_id)
        self.scores[images] = scores[:, :count]
        self.texts[images] = _rows(torch.cat([self.texts[images], padded], dim=1), order[:, :count])

    def best(self) -> list[list[ScoredText]]:
        """The texts of each image, best first; one alone, empty, where scores are no numbers."""
        found: list[list[ScoredText]] = []
        for texts, scores in zip(self.texts, self.scores.tolist(), strict=True):
            ranked = [ScoredText(ids, score) for ids, score in zip(_upto(texts, self.eos_id), scores, strict=True)]
            found.append([text for text in ranked if text.score > -torch.inf] or ranked[:1])
        return found


@torch.no_grad()
def sample(
    next_words: NextWords,
    start: Tensor,
    max_length: int = 64,
    top_p: float = 0.9,
    temperature: float = 1.0,
    eos_id: int = 2,
    generator: torch.Generator | None = None,
    min_length: int = 0,
) -> list[list[int]]:
    """Draw a caption for each image, word by word, each among the likeliest (:func:`top_p_words`).

    Args:
        next_words: fresh, for one beam.
        start: the first word of each image, ``<s>``: ids (B,).
        max_length: as in :func:`beam_search`.
        top_p, temperature, generator: as in :func:`top_p_words`.
        eos_id: id of ``</s>``.
        min_length: fewest words (tokens, without ``<s>`` and ``</s>``); before, only the other words are drawn from.

    Returns:
        For each image ids from ``<s>`` to ``</s>``.

    Raises:
        ValueError: for a length without room for a word or for ``min_length``, or as :func:`top_p_words`.
    """
    if max_length < 4:
        raise ValueError(f"sample needs a max_length of at least 4, got {max_length}")
    _check_least(min_length, max_length)
    results = start.new_full((len(start), max_length), eos_id)
    results[:, 0] = words = start
    going = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(going, dtype=torch.bool)
    for place in range(1, max_length - 2):
        logits = next_words.step(words.unsqueeze(1)).squeeze(1)
        if place <= min_length:
            logits[:, eos_id] = -torch.inf
        words = top_p_words(logits, top_p, temperature, generator)
        results[going, place] = words
        done = done | (words == eos_id)
        if done.all():
            break
        if _worth_leaving(done):
            rest = (~done).nonzero().squeeze(1)
            going, words, done = going[rest], words[rest], done[rest]
            next_words.keep(rest)
    return _upto(results, eos_id)


def top_p_words(logits: Tensor, top_p: float, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw words from the smallest set of likeliest ones that has at least this probability (arXiv 1904.09751).

    Args:
        logits: scores (..., V) before softmax.
        top_p: probability of the set, above 0 and up to 1, which is all words.
        temperature: what scores are divided by first; below 1 the likeliest words become likelier.
        generator: source of randomness on the device of ``logits``.

    Returns:
        Ids (...).

    Raises:
        ValueError: for numbers out of these ranges.
    """
    if not 0 < top_p <= 1 or temperature <= 0:
        raise ValueError(f"top_p {top_p} must be above 0 and at most 1, temperature {temperature} above 0")
    probs, order = (widened(logits) / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    likelier = probs.cumsum(dim=-1) - probs
    probs = probs.masked_fill(likelier >= top_p, 0)
    drawn = torch.multinomial(probs.flatten(0, -2), 1, generator=generator).view(*logits.shape[:-1], 1)
    return order.gather(-1, drawn).squeeze(-1)


def _check_least(min_length: int, max_length: int) -> None:
    if not 0 <= min_length <= max_length - 3:
        raise ValueError(f"min_length must be from 0 to {max_length - 3} with a max_length of {max_length}, got {min_length}")


def _rows(texts: Tensor, beams: Tensor) -> Tensor:
    """The texts (B, K', T) of beams (B, K') out of (B, K, T)."""
    return texts.gather(1, beams.unsqueeze(-1).expand(-1, -1, texts.shape[2]))


def _worth_leaving(done: Tensor) -> bool:
    """Whether to drop the images that are done: to copy the others' caches each time one is would cost more than it saves."""
    return 2 * int(done.sum()) >= len(done)


def _upto(results: Tensor, eos_id: int) -> list[list[int]]:
    """Rows (B, T) as lists up to and with their first ``</s>``."""
    return [ids[: ids.index(eos_id) + 1] for ids in results.tolist()]
