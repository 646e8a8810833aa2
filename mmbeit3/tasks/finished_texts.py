"""The finished texts of a beam search: the best ones of each image, sorted by score."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["FinishedTexts", "ScoredText", "cut_at_eos", "gather_beams"]


class ScoredText(NamedTuple):
    """A caption found by beam search.

    Attributes:
        ids: token ids from ``<s>`` to ``</s>``.
        score: length-normalised log-probability, see :func:`~mmbeit3.tasks.decoding.best_texts`; higher is better.
    """

    ids: list[int]
    score: float


class FinishedTexts:
    """The best finished texts of each image, sorted by score.

    Args:
        start: as in :func:`~mmbeit3.tasks.decoding.best_texts`.
        count: texts to keep per image.
        max_length: capacity of a text in tokens.
        eos_id: id that fills the rest of a text.
    """

    def __init__(self, start: Tensor, count: int, max_length: int, eos_id: int) -> None:
        self.eos_id = eos_id
        self.scores = torch.full((len(start), count), -torch.inf, device=start.device)
        self.texts = start.new_full((len(start), count, max_length), eos_id)

    def worst(self, images: Tensor) -> Tensor:
        """Return the score (B',) that a new text must beat; minus infinity while there are fewer than ``count`` texts."""
        return self.scores[images, -1]

    def add(self, images: Tensor, scores: Tensor, texts: Tensor) -> None:
        """Merge new texts (B', n, T) with scores (B', n) and keep the best; a score of minus infinity marks an empty slot."""
        self.scores = self.scores.to(scores.dtype)
        count, length = self.texts.shape[1:]
        # The stable sort prefers the older text when scores are equal.
        scores, order = torch.cat([self.scores[images], scores], dim=1).sort(dim=1, descending=True, stable=True)
        padded = F.pad(texts, (0, length - texts.shape[2]), value=self.eos_id)
        self.scores[images] = scores[:, :count]
        self.texts[images] = gather_beams(torch.cat([self.texts[images], padded], dim=1), order[:, :count])

    def best(self) -> list[list[ScoredText]]:
        """Return the texts of each image, best first; a single empty text if all scores are NaN."""
        found: list[list[ScoredText]] = []
        for texts, scores in zip(self.texts, self.scores.tolist(), strict=True):
            ranked = [ScoredText(ids, score) for ids, score in zip(cut_at_eos(texts, self.eos_id), scores, strict=True)]
            found.append([text for text in ranked if text.score > -torch.inf] or ranked[:1])
        return found


def gather_beams(texts: Tensor, beams: Tensor) -> Tensor:
    """Select beams (B, K') of texts (B, K, T): (B, K', T)."""
    return texts.gather(1, beams.unsqueeze(-1).expand(-1, -1, texts.shape[2]))


def cut_at_eos(results: Tensor, eos_id: int) -> list[list[int]]:
    """Convert rows (B, T) to lists that end with their first ``</s>``."""
    return [ids[: ids.index(eos_id) + 1] for ids in results.tolist()]
