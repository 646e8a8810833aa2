"""What publications call a score, and what MMEngine's logs call it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["find_score", "known_scores"]

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
"""Names in indices to names in logs, and what makes percent of the latter, most important first."""

_ALIASES = {"accuracy": "Top 1 Accuracy", "top1": "Top 1 Accuracy", "top5": "Top 5 Accuracy", "vqaaccuracy": "VQA score"}


def find_score(published: str, scores: Mapping[str, float]) -> float | None:
    """The measured score that is meant by a published one's name, in the same unit.

    Args:
        published: a name as in an index, such as ``'box AP'`` or ``'Top-1 accuracy'``, or one that is logged.
        scores: what was logged.

    Returns:
        Its value; None if it was not measured, if there was nothing to measure it on, which COCO says by -1, or if the name
        means nothing here, as ``'mIoU(ms+flip)'`` does not.
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
    """The scores that have a usual name under it; all as they are where none has."""
    known = {name: factor * scores[key] for name, (key, factor) in _KNOWN.items() if scores.get(key, -1.0) >= 0}
    return known or dict(scores)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "@(+")
