"""From scores of the next word to whole captions: beam search and sampling, for several images at once."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from mmbeit3.ops import widened

__all__ = ["NextWords", "beam_search", "sample", "top_p_words"]

_CANDIDATES_A_BEAM = 3
_NEVER = -1e9
"""Score of the beams that at the start are no others than the first."""


class NextWords(Protocol):
    """What knows the likely words after those so far, K beams an image."""

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Scores of the words after ``words`` (B, K), before softmax: (B, K, V); ``beams`` (B, K) are those gone on with."""

    def keep(self, images: Tensor) -> None:
        """Go on with these images (B',) alone."""


@torch.no_grad()
def beam_search(
    next_words: NextWords,
    start: Tensor,
    num_beams: int = 3,
    max_length: int = 64,
    length_penalty: float = 0.6,
    eos_id: int = 2,
) -> list[list[int]]:
    """Look for each image's best caption, as the released captioning code does.

    A caption's score is the sum of its words' log-probabilities, ``</s>`` included, divided by its length to the power of
    ``length_penalty``. One that gets no further by ``max_length`` ends there; what would have been its next word counts as
    ``</s>``. An image is done when no beam can outdo its best caption, even if it went on to the end for nothing. With one
    beam this is greedy search, but one that goes on after ``</s>`` in case a longer caption is better; without a length
    penalty there is no such case.

    Args:
        next_words: fresh, for as many beams.
        start: the first word of each image, ``<s>``: ids (B,).
        num_beams: texts that are followed at a time.
        max_length: most tokens as the released code counts them, ``<s>``, a mask token and ``</s>`` included: captions have
            up to ``max_length - 3`` words.
        length_penalty: 0 favours short captions most.
        eos_id: id of ``</s>``.

    Returns:
        For each image ids from ``<s>`` to ``</s>``.

    Raises:
        ValueError: for no beams, or lengths without room for a word.
    """
    if num_beams < 1 or max_length < 4:
        raise ValueError(f"beam_search needs a beam and a max_length of at least 4, got {num_beams} and {max_length}")
    B, K = len(start), num_beams
    best = torch.full((B,), -torch.inf, device=start.device)
    results = start.new_full((B, max_length), eos_id)
    going = torch.arange(B, device=start.device)
    texts = start.view(B, 1, 1).expand(B, K, 1)
    scores = torch.full((B, K), _NEVER, device=start.device)
    scores[:, 0] = 0
    beams: Tensor | None = None
    # Of <s>, the words so far, and the mask token.
    for length in range(2, max_length):
        log_probs = widened(next_words.step(texts[:, :, -1], beams)).log_softmax(dim=-1)
        best = best.to(log_probs.dtype)
        found, places = (scores.unsqueeze(-1) + log_probs).flatten(1).topk(_CANDIDATES_A_BEAM * K)
        parents, words = places // log_probs.shape[-1], places % log_probs.shape[-1]
        # No sum gets better on the way, so what is done stays so.
        done = best[going] >= found[:, 0] / (max_length - 1) ** length_penalty
        last = length + 1 == max_length
        closes = torch.ones_like(words, dtype=torch.bool) if last else words == eos_id
        # Candidates are looked at in order until all beams have been filled; the first to close is the best of those that do.
        counted = closes & ((~closes).cumsum(dim=1) < K)
        first = counted.int().argmax(dim=1, keepdim=True)
        closed = found.gather(1, first).squeeze(1) / length**length_penalty
        better = counted.any(dim=1) & ~done & (closed > best[going])
        winners = going[better]
        best[winners] = closed[better]
        results[winners] = eos_id
        results[winners, : length - 1] = _rows(texts, parents.gather(1, first)).squeeze(1)[better]
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
    return _upto(results, eos_id)


@torch.no_grad()
def sample(
    next_words: NextWords,
    start: Tensor,
    max_length: int = 64,
    top_p: float = 0.9,
    temperature: float = 1.0,
    eos_id: int = 2,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Draw a caption for each image, word by word, each among the likeliest (:func:`top_p_words`).

    Args:
        next_words: fresh, for one beam.
        start: the first word of each image, ``<s>``: ids (B,).
        max_length: as in :func:`beam_search`.
        top_p, temperature, generator: as in :func:`top_p_words`.
        eos_id: id of ``</s>``.

    Returns:
        For each image ids from ``<s>`` to ``</s>``.

    Raises:
        ValueError: for a length without room for a word, or as :func:`top_p_words`.
    """
    if max_length < 4:
        raise ValueError(f"sample needs a max_length of at least 4, got {max_length}")
    results = start.new_full((len(start), max_length), eos_id)
    results[:, 0] = words = start
    going = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(going, dtype=torch.bool)
    for place in range(1, max_length - 2):
        words = top_p_words(next_words.step(words.unsqueeze(1)).squeeze(1), top_p, temperature, generator)
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


def _rows(texts: Tensor, beams: Tensor) -> Tensor:
    """The texts (B, K', T) of beams (B, K') out of (B, K, T)."""
    return texts.gather(1, beams.unsqueeze(-1).expand(-1, -1, texts.shape[2]))


def _worth_leaving(done: Tensor) -> bool:
    """Whether to drop the images that are done: to copy the others' caches each time one is would cost more than it saves."""
    return 2 * int(done.sum()) >= len(done)


def _upto(results: Tensor, eos_id: int) -> list[list[int]]:
    """Rows (B, T) as lists up to and with their first ``</s>``."""
    return [ids[: ids.index(eos_id) + 1] for ids in results.tolist()]
