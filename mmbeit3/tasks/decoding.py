"""Decoding of captions for a batch of images: beam search and top-p sampling.

The text decoder is behind the protocol :class:`NextWords`, which returns the logits of the next word and keeps its own KV
cache. The functions here choose words, tell the decoder which beams continue (so that it reorders the cache), and drop images
whose captions are complete (so that it shrinks the cache).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mmbeit3.ops import widened
from mmbeit3.tasks.finished_texts import FinishedTexts, ScoredText, cut_at_eos, gather_beams

__all__ = ["BeamSearchOptions", "NextWords", "ScoredText", "beam_search", "best_texts", "sample", "top_p_words"]

_CANDIDATES_PER_BEAM = 3
_UNUSED_BEAM = -1e9
"""Score of the beams 2 to K at the start. All beams begin as the same text, so only the first one may be continued."""


class NextWords(Protocol):
    """Decoder that predicts the next word of K beams per image. It holds the words so far (its KV cache)."""

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Append a word to each beam and return the logits of the next one.

        Args:
            words: ids (B, K) of the words to append.
            beams: (B, K), for each new beam the index (0 to K - 1) of the old beam that it continues; None if unchanged.

        Returns:
            Logits (B, K, V).
        """

    def keep(self, images: Tensor) -> None:
        """Keep only these images: indices (B',) into the current batch."""


def _check_min_length(min_length: int, max_length: int) -> None:
    if not 0 <= min_length <= max_length - 3:
        raise ValueError(f"min_length must be from 0 to {max_length - 3} with a max_length of {max_length}, got {min_length}")


@dataclass(frozen=True)
class BeamSearchOptions:
    """Options of a beam search.

    Attributes:
        num_beams: number K of texts that the search follows per image.
        max_length: largest number of tokens as the released code counts them: ``<s>``, the words, a mask token and ``</s>``.
            So a caption has at most ``max_length - 3`` words.
        length_penalty: exponent of the length in the score; 0 favours short captions most.
        min_length: smallest number of words (tokens without ``<s>`` and ``</s>``). ``</s>`` is not chosen before. The
            probabilities of the other words do not change.
        eos_id: id of ``</s>``.

    Raises:
        ValueError: if there is no beam, or ``max_length`` has no room for a word or for ``min_length`` words.
    """

    num_beams: int = 3
    max_length: int = 64
    length_penalty: float = 0.6
    min_length: int = 0
    eos_id: int = 2

    def __post_init__(self) -> None:
        if self.num_beams < 1 or self.max_length < 4:
            raise ValueError(
                "beam search needs num_beams of at least 1 and max_length of at least 4, "
                f"got {self.num_beams} and {self.max_length}"
            )
        _check_min_length(self.min_length, self.max_length)


_DEFAULTS = BeamSearchOptions()


def beam_search(next_words: NextWords, start: Tensor, options: BeamSearchOptions = _DEFAULTS) -> list[list[int]]:
    """Search the best caption of each image: the first result of :func:`best_texts`.

    Args:
        next_words, start, options: see :func:`best_texts`.

    Returns:
        For each image the ids from ``<s>`` to ``</s>``.
    """
    return [texts[0].ids for texts in best_texts(next_words, start, 1, options)]


@torch.no_grad()
def best_texts(
    next_words: NextWords, start: Tensor, num_texts: int = 1, options: BeamSearchOptions = _DEFAULTS
) -> list[list[ScoredText]]:
    """Search the best captions of each image. For one caption per image this is the search of the released captioning code.

    The score of a caption is the sum of the log-probabilities of its words and of ``</s>``, divided by
    ``length ** length_penalty``. A caption that reaches ``max_length`` ends there, and its most likely next word counts as
    ``</s>``. The search for an image ends when no beam can beat the worst caption kept, even if all its further words had
    probability 1.

    With one beam this is greedy search, except that it continues after ``</s>`` because a longer caption may score higher.
    With ``length_penalty=0`` a longer caption never scores higher.

    Args:
        next_words: decoder of ``num_beams`` beams, with no words yet.
        start: id of the first word ``<s>`` of each image (B,).
        num_texts: captions per image, 1 to ``num_beams``. The search continues until it has this many.
        options: see :class:`BeamSearchOptions`.

    Returns:
        For each image its captions, best first, all different. There are fewer than ``num_texts`` only if the vocabulary
        does not allow that many texts within ``max_length``.

    Raises:
        ValueError: if ``num_texts`` is out of range.
    """
    B, K, max_length = len(start), options.num_beams, options.max_length
    if not 1 <= num_texts <= K:
        raise ValueError(f"beam search with {K} beams finds 1 to {K} texts, not {num_texts}")
    finished = FinishedTexts(start, num_texts, max_length, options.eos_id)
    # Indices into the original batch of the images that are still searched.
    active = torch.arange(B, device=start.device)
    texts = start.view(B, 1, 1).expand(B, K, 1)
    scores = torch.full((B, K), _UNUSED_BEAM, device=start.device)
    scores[:, 0] = 0
    beams: Tensor | None = None
    # length counts <s>, the words so far and the mask token, as the released code does.
    for length in range(2, max_length):
        log_probs = widened(next_words.step(texts[:, :, -1], beams)).log_softmax(dim=-1)
        if length - 2 < options.min_length:
            log_probs[..., options.eos_id] = -torch.inf
        last = length + 1 == max_length
        totals, parents, words = _best_candidates(scores.unsqueeze(-1) + log_probs, last)
        # Log-probabilities are negative: a sum only falls from step to step, so an image that is done stays done.
        done = finished.worst(active) >= totals[:, 0] / (max_length - 1) ** options.length_penalty
        ends = torch.ones_like(words, dtype=torch.bool) if last else words == options.eos_id
        # An ended candidate counts only if fewer than K better candidates continue: the released code stops reading the
        # sorted candidates once K beams are full. The cumulative sum counts the continuing candidates before each one.
        counted = ends & ((~ends).cumsum(dim=1) < K) & (totals > _UNUSED_BEAM / 2) & ~done.unsqueeze(1)
        ended_scores = (totals / length**options.length_penalty).masked_fill(~counted, -torch.inf)
        finished.add(active, ended_scores, gather_beams(texts, parents))
        if last or done.all():
            break
        # The stable sort puts continuing candidates first and keeps their order: take the best K of them.
        order = ends.int().argsort(dim=1, stable=True)[:, :K]
        beams, scores = parents.gather(1, order), totals.gather(1, order)
        texts = torch.cat([gather_beams(texts, beams), words.gather(1, order).unsqueeze(-1)], dim=2)
        if _should_drop(done):
            rest = (~done).nonzero().squeeze(1)
            active, beams, scores, texts = active[rest], beams[rest], scores[rest], texts[rest]
            next_words.keep(rest)
    return finished.best()


def _best_candidates(totals: Tensor, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations, best first: their scores, the beams that they continue, and their words, each (B, count).

    Args:
        totals: scores (B, K, V) of each beam followed by each word.
        last: True if all texts end at this step. Then each beam is a candidate once, with its most likely word.
    """
    if last:
        best, words = totals.max(dim=-1)
        scores, parents = best.sort(dim=1, descending=True, stable=True)
        return scores, parents, words.gather(1, parents)
    K, V = totals.shape[1:]
    # At most K of the 3 K best candidates end (one per beam), so there are always K that continue.
    scores, indices = totals.flatten(1).topk(_CANDIDATES_PER_BEAM * K)
    return scores, indices // V, indices % V


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
    """Sample a caption for each image word by word from the most likely words, see :func:`top_p_words`.

    Args:
        next_words: decoder of one beam, with no words yet.
        start: id of the first word ``<s>`` of each image (B,).
        max_length, min_length, eos_id: see :class:`BeamSearchOptions`.
        top_p, temperature, generator: see :func:`top_p_words`.

    Returns:
        For each image the ids from ``<s>`` to ``</s>``.

    Raises:
        ValueError: if ``max_length`` has no room for a word or for ``min_length`` words, or as :func:`top_p_words`.
    """
    if max_length < 4:
        raise ValueError(f"sample needs a max_length of at least 4, got {max_length}")
    _check_min_length(min_length, max_length)
    results = start.new_full((len(start), max_length), eos_id)
    results[:, 0] = words = start
    active = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(active, dtype=torch.bool)
    # The positions of words: after <s>, and with room for the mask token and </s>.
    for position in range(1, max_length - 2):
        logits = next_words.step(words.unsqueeze(1)).squeeze(1)
        if position <= min_length:
            logits[:, eos_id] = -torch.inf
        words = top_p_words(logits, top_p, temperature, generator)
        results[active, position] = words
        done = done | (words == eos_id)
        if done.all():
            break
        if _should_drop(done):
            rest = (~done).nonzero().squeeze(1)
            active, words, done = active[rest], words[rest], done[rest]
            next_words.keep(rest)
    return cut_at_eos(results, eos_id)


def top_p_words(logits: Tensor, top_p: float, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Sample words from the smallest set of most likely words whose total probability is at least ``top_p``.

    This is nucleus sampling (arXiv 1904.09751).

    Args:
        logits: (..., V).
        top_p: total probability of the set, above 0 and at most 1; 1 allows all words.
        temperature: divisor of the logits, above 0; values below 1 favour the most likely words.
        generator: source of randomness on the device of ``logits``.

    Returns:
        Ids (...).

    Raises:
        ValueError: if ``top_p`` or ``temperature`` is out of range.
    """
    if not 0 < top_p <= 1 or temperature <= 0:
        raise ValueError(f"top_p must be above 0 and at most 1, temperature above 0, got {top_p} and {temperature}")
    probs, order = (widened(logits) / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    # A word leaves the set if the more likely words alone reach top_p. The most likely word always stays.
    before = probs.cumsum(dim=-1) - probs
    probs = probs.masked_fill(before >= top_p, 0)
    drawn = torch.multinomial(probs.flatten(0, -2), 1, generator=generator).view(*logits.shape[:-1], 1)
    return order.gather(-1, drawn).squeeze(-1)


def _should_drop(done: Tensor) -> bool:
    """Return True if at least half of the images are done.

    To drop images copies the KV caches of all others. To do this for each single image would cost more time than it saves.
    """
    return 2 * int(done.sum()) >= len(done)
