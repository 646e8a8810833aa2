"""AP50 that a detector gains if one kind of error is fixed, after TIDE (arXiv 2008.08115)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmbeit3.evaluation.errors.detection_matches import ERRORS, Matches

__all__ = ["Breakdown", "average_precision", "break_down", "count_misclassified", "image_scores"]

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Breakdown:
    """Numbers of errors and the AP50 they cost.

    Attributes:
        ap50: AP of the detector at an IoU of 0.5, in percent.
        counts: kind of error to number of errors; ``missed`` counts objects.
        gains: kind of error to the gain in ``ap50`` if only this kind is fixed, in percentage points.
        false_positives: gain in ``ap50`` if all false detections are removed.
        false_negatives: gain in ``ap50`` if all objects that were not found are removed from the ground truth.
    """

    ap50: float
    counts: dict[str, int]
    gains: dict[str, float]
    false_positives: float
    false_negatives: float


def break_down(matches: Matches) -> Breakdown:
    """Measure AP50 with each kind of error fixed.

    * Localisation and classification errors: for each object that was not found, the best wrong detection of it becomes a hit
      with the class of the object and an unchanged score; the other wrong detections are removed.
    * Duplicate, background and both: these detections are removed.
    * Missed objects are removed from the ground truth. An object is missed if it was not found and has no detection with a
      localisation or classification error. The AP of a class without objects then counts as 100.

    Each kind is fixed as if it were the only one. TIDE's own code differs: if one detection misplaces an object and another one
    gives it a wrong class, it assigns the object to the better of the two.

    Args:
        matches: matches of a dataset.
    """
    classes = np.unique(matches.truth_categories)
    missed = ~matches.found
    for error in ("localisation", "classification"):
        missed[matches.targets[matches.errors == ERRORS.index(error)]] = False
    every_object = np.ones(len(matches.found), bool)
    every_detection = np.ones(len(matches.hits), bool)
    base = _mean_ap(classes, matches, matches.categories, matches.hits, every_detection, every_object)
    counts = {error: int((matches.errors == number).sum()) for number, error in enumerate(ERRORS)}
    gains = {}
    for number, error in enumerate(ERRORS):
        wrong = matches.errors == number
        categories, hits, kept = matches.categories.copy(), matches.hits.copy(), ~wrong
        if error in ("localisation", "classification"):
            fixed = _best_per_object(matches, wrong)
            kept[fixed] = hits[fixed] = True
            categories[fixed] = matches.truth_categories[matches.targets[fixed]]
        gains[error] = _mean_ap(classes, matches, categories, hits, kept, every_object) - base

    def gain(detections: np.ndarray, objects: np.ndarray) -> float:
        return _mean_ap(classes, matches, matches.categories, matches.hits, detections, objects) - base

    gains["missed"] = gain(every_detection, ~missed)
    return Breakdown(
        base,
        counts | {"missed": int(missed.sum())},
        gains,
        gain(matches.hits, every_object),
        gain(every_detection, matches.found),
    )


def average_precision(scores: np.ndarray, hits: np.ndarray, total: int) -> float:
    """Return the AP of one class by COCO's rule, from 0 to 1.

    This is the mean over 101 recalls of the best precision at that recall or a higher one.

    Args:
        scores: scores of the detections (D,).
        hits: True for detections that found an object (D,).
        total: number of objects, at least 1.
    """
    order = np.argsort(-scores, kind="mergesort")
    found = np.cumsum(hits[order])
    precision = found / np.arange(1, len(found) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    indices = np.searchsorted(found / total, _RECALLS, side="left")
    # Recalls that are never reached get the appended precision of 0.
    return float(np.append(precision, 0.0)[np.minimum(indices, len(precision))].mean())


def image_scores(matches: Matches, images: Sequence[int | str], score: float) -> dict[int | str, float]:
    """Return the F1 score of each image at an IoU of 0.5, from 0 to 1; 1 for an image without objects and detections.

    Args:
        matches: matches of a dataset.
        images: ids of all images of the dataset.
        score: lowest score of detections that count.
    """
    shown = matches.scores >= score
    hits = Counter(matches.images[shown & matches.hits].tolist())
    detections = Counter(matches.images[shown].tolist())
    objects = Counter(matches.truth_images.tolist())
    return {
        image: 2 * hits[image] / (detections[image] + objects[image]) if detections[image] + objects[image] else 1.0
        for image in images
    }


def count_misclassified(matches: Matches) -> Counter[tuple[int, int]]:
    """Count classification errors by pairs of true and predicted category."""
    wrong = matches.errors == ERRORS.index("classification")
    truth = matches.truth_categories[matches.targets[wrong]]
    return Counter(zip(truth.tolist(), matches.categories[wrong].tolist(), strict=True))


def _best_per_object(matches: Matches, wrong: np.ndarray) -> np.ndarray:
    """Return the index of the best wrong detection of each object that was not found."""
    chosen: dict[int, int] = {}
    for index in np.flatnonzero(wrong):
        target = int(matches.targets[index])
        if not matches.found[target] and (target not in chosen or matches.scores[index] > matches.scores[chosen[target]]):
            chosen[target] = int(index)
    return np.array(list(chosen.values()), np.int64)


def _mean_ap(
    classes: np.ndarray,
    matches: Matches,
    categories: np.ndarray,
    hits: np.ndarray,
    detections: np.ndarray,
    objects: np.ndarray,
) -> float:
    """Return the mean AP50 over classes in percent; ``detections`` and ``objects`` are masks of those that count."""
    values = []
    for category in classes:
        chosen = detections & (categories == category)
        total = int((objects & (matches.truth_categories == category)).sum())
        values.append(average_precision(matches.scores[chosen], hits[chosen], total) if total else 1.0)
    return 100 * float(np.mean(values)) if values else 0.0
