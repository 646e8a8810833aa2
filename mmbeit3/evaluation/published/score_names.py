"""Names of scores in publications and in MMEngine's logs."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["find_score", "known_scores", "percent_scores"]

_KNOWN = {
    "box AP": ("coco/bbox_mAP", 100.0),
    "mask AP": ("coco/segm_mAP", 100.0),
    "PQ": ("coco_panoptic/PQ", 1.0),
    "mIoU": ("mIoU", 1.0),
    "Top 1 Accuracy": ("accuracy/top1", 1.0),
    "Top 5 Accuracy": ("accuracy/top5", 1.0),
    "VQA score": ("vqa/score", 1.0),
    "CIDEr": ("caption/CIDEr", 1.0),
    "BLEU-4": ("caption/BLEU-4", 1.0),
    **{f"{way}@{k}": (f"retrieval/{way}@{k}", 1.0) for way in ("TR", "IR") for k in (1, 5, 10)},
}
"""Name in indices to name in logs and the factor that turns the logged value into percent; most important scores first."""

_ALIASES = {"accuracy": "Top 1 Accuracy", "top1": "Top 1 Accuracy", "top5": "Top 5 Accuracy", "vqaaccuracy": "VQA score"}


_COCO = re.compile(r"coco/(bbox|segm)_mAP_?(\w*)")
_KINDS = {"bbox": "box", "segm": "mask"}
_SIZES = {"s": " small", "m": " medium", "l": " large"}


def find_score(published: str, scores: Mapping[str, float]) -> float | None:
    """Return the measured score with the name of a published score, in the same unit.

    Args:
        published: a name from an index, such as ``'box AP'`` or ``'Top-1 accuracy'``, or a name from the log.
        scores: logged scores.

    Returns:
        The value; None if it was not measured, if it is -1, which COCO's evaluation reports for data without ground truth, or
        if the name is not supported, such as ``'mIoU(ms+flip)'``.
    """
    if published in scores:
        return scores[published]
    plain = _plain(published)
    wanted = _plain(_ALIASES.get(plain, plain))
    for name, (key, factor) in _KNOWN.items():
        if _plain(name) == wanted and scores.get(key, -1.0) >= 0:
            return factor * scores[key]
    return None


def known_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the scores that have a usual name under that name; if none has one, all scores unchanged."""
    known = {name: factor * scores[key] for name, (key, factor) in _KNOWN.items() if scores.get(key, -1.0) >= 0}
    return known or dict(scores)


def percent_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Return all scores in percent, because mmdet logs COCO's average precision as fractions and all other scores in percent.

    Args:
        scores: logged scores.

    Returns:
        Scores by their usual names, such as ``'box AP50'`` for ``coco/bbox_mAP_50``, or else by their names in the log. Scores
        of -1 are left out: COCO's evaluation reports them for data without ground truth.
    """
    usual = {key: name for name, (key, _) in _KNOWN.items()}
    shown = {}
    for key, value in scores.items():
        if match := _COCO.fullmatch(key):
            if value >= 0:
                kind, size = match.groups()
                shown[f"{_KINDS[kind]} AP{_SIZES.get(size, size)}"] = 100 * value
        else:
            shown[usual.get(key, key)] = value
    return shown


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "@(+")
