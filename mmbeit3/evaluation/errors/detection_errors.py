"""What each kind of error costs a detector, in the spirit of TIDE (arXiv 2008.08115): AP50 gained by mending it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmbeit3.evaluation.errors.detection_matches import ERRORS, Matches

__all__ = ["Breakdown", "average_precision", "break_down", "image_scores", "misnamed"]

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Breakdown:
    """Errors and what they cost.

    Attributes:
        ap50: the detector's AP at an IoU of 0.5, in percent.
        counts: of each error, ``missed`` objects among them.
        gains: by how much ``ap50`` rises if that error alone is mended.
        false_positives: by how much, if there were no false detection.
        false_negatives: by how much, if nothing was asked for that was not found.
    """

    ap50: float
    counts: dict[str, int]
    gains: dict[str, float]
    false_positives: float
    false_negatives: float


def break_down(matches: Matches) -> Breakdown:
    """Mend the errors one kind at a time.

    Mending localisation and classification makes a hit of the best detection of each object that none has found, under the
    object's class and with its own score, and removes the others; mending duplicates, background and both removes them;
    mending missed objects leaves them out of what is to be found: these are the ones that no misplaced or misnamed detection is
    about. A class of which nothing is left to be found then counts as 100. Each kind is mended as if it were the only one;
    TIDE's own code leaves an object that one detection misplaces and another misnames to the better of the two.

    Args:
        matches: of a dataset.
    """
    kinds = np.unique(matches.truth_categories)
    missed = ~matches.found
    for error in ("localisation", "classification"):
        missed[matches.targets[matches.errors == ERRORS.index(error)]] = False
    asked = np.ones(len(matches.found), bool)
    base = _mean_ap(kinds, matches, matches.categories, matches.hits, np.ones(len(matches.hits), bool), asked)
    counts = {error: int((matches.errors == number).sum()) for number, error in enumerate(ERRORS)}
    gains = {}
    for number, error in enumerate(ERRORS):
        wrong = matches.errors == number
        categories, hits, kept = matches.categories.copy(), matches.hits.copy(), ~wrong
        if error in ("localisation", "classification"):
            mended = _best_of_each(matches, wrong)
            kept[mended] = hits[mended] = True
            categories[mended] = matches.truth_categories[matches.targets[mended]]
        gains[error] = _mean_ap(kinds, matches, categories, hits, kept, asked) - base

    def mended_ap(kept: np.ndarray, left: np.ndarray) -> float:
        return _mean_ap(kinds, matches, matches.categories, matches.hits, kept, left) - base

    everything = np.ones(len(matches.hits), bool)
    gains["missed"] = mended_ap(everything, ~missed)
    return Breakdown(
        base,
        counts | {"missed": int(missed.sum())},
        gains,
        mended_ap(matches.hits, asked),
        mended_ap(everything, matches.found),
    )


def average_precision(scores: np.ndarray, hits: np.ndarray, total: int) -> float:
    """AP of one class, as COCO computes it: precision at 101 recalls, each the best from there on; 0 to 1.

    Args:
        scores: of detections (D,).
        hits: whether each found an object (D,).
        total: number of objects; above 0.
    """
    order = np.argsort(-scores, kind="mergesort")
    found = np.cumsum(hits[order])
    precision = found / np.arange(1, len(found) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / total, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def image_scores(matches: Matches, images: Sequence[int], score: float) -> dict[int, float]:
    """F1 of each image at an IoU of 0.5, from 0 to 1; 1 where there is nothing and nothing was detected.

    Args:
        matches: of a dataset.
        images: ids of all its images.
        score: least score of detections that count.
    """
    shown = matches.scores >= score
    hits = Counter(matches.images[shown & matches.hits].tolist())
    detections = Counter(matches.images[shown].tolist())
    objects = Counter(matches.truth_images.tolist())
    return {
        image: 2 * hits[image] / (detections[image] + objects[image]) if detections[image] + objects[image] else 1.0
        for image in images
    }


def misnamed(matches: Matches) -> Counter[tuple[int, int]]:
    """Pairs of an object's category and what it was called instead, with how often."""
    wrong = matches.errors == ERRORS.index("classification")
    truth = matches.truth_categories[matches.targets[wrong]]
    return Counter(zip(truth.tolist(), matches.categories[wrong].tolist(), strict=True))


def _best_of_each(matches: Matches, wrong: np.ndarray) -> np.ndarray:
    """Indices of the wrong detections that are the best about an object which none has found."""
    chosen: dict[int, int] = {}
    for index in np.flatnonzero(wrong):
        target = int(matches.targets[index])
        if not matches.found[target] and (target not in chosen or matches.scores[index] > matches.scores[chosen[target]]):
            chosen[target] = int(index)
    return np.array(list(chosen.values()), np.int64)


def _mean_ap(
    kinds: np.ndarray, matches: Matches, categories: np.ndarray, hits: np.ndarray, kept: np.ndarray, asked: np.ndarray
) -> float:
    """Mean over categories, in percent, of detections that are kept and objects that are asked for."""
    values = []
    for kind in kinds:
        ours = kept & (categories == kind)
        total = int((asked & (matches.truth_categories == kind)).sum())
        values.append(average_precision(matches.scores[ours], hits[ours], total) if total else 1.0)
    return 100 * float(np.mean(values)) if values else 0.0
