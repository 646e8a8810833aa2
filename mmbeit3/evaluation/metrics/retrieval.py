"""Recall of image-text retrieval over a whole split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.reporting import report_scored, report_unreadable
from mmbeit3.ops import wide_dtype
from mmbeit3.registry import METRICS

__all__ = ["ImageTextRecall", "best_ranks"]

_CHUNK = 1024
"""Number of queries that are compared at once; bounds the memory."""


def best_ranks(queries: Tensor, candidates: Tensor, query_owners: Tensor, candidate_owners: Tensor) -> Tensor:
    """Return the rank of the best right candidate of each query: the number of wrong candidates before it.

    Wrong candidates of equal similarity come first, so constant features find nothing. NaN similarities find nothing either.

    Args:
        queries: features (N, C).
        candidates: features (M, C).
        query_owners: ids (N,); a candidate with the same id is right.
        candidate_owners: ids (M,).

    Returns:
        Ranks (N,), int64, from 0; M for queries without a right candidate.
    """
    ranks = []
    for rows, owners in zip(queries.split(_CHUNK), query_owners.split(_CHUNK), strict=True):
        similarity = rows @ candidates.T
        right = owners[:, None] == candidate_owners
        best = similarity.masked_fill(~right | similarity.isnan(), -torch.inf).amax(1, keepdim=True)
        before = (~(similarity < best) & ~right).sum(1)
        ranks.append(torch.where(best[:, 0] == -torch.inf, len(candidates), before))
    return torch.cat(ranks)


@METRICS.register_module()
class ImageTextRecall(BaseMetric):
    """Recall (in percent) of text retrieval by image, ``TR@k``, of image retrieval by text, ``IR@k``, and their ``mean``.

    A query counts if a right candidate is among the first k. Every sample has ``image_id``; a text has the id of its image. It
    also has ``image_feature`` (C,), or ``text_feature`` (C,) and ``text_id``, or all three. Features are gathered over all
    processes. An image that could not be read remains a candidate, as a grey image, but it and its texts find nothing.

    Args:
        topk: values of k.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; default ``retrieval``.
    """

    default_prefix = "retrieval"

    def __init__(self, topk: Sequence[int] = (1, 5, 10), collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Store the features of a batch."""
        kept = ("image_id", "image_feature", "text_id", "text_feature", "unreadable")
        for sample in data_samples:
            result = {name: sample[name] for name in kept if name in sample}
            # Cloned, because a view would keep the features of the whole batch in memory and send them to other processes.
            self.results.append({k: v.cpu().clone() if isinstance(v, Tensor) else v for k, v in result.items()})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Compare all images with all texts; an image or text that occurs twice counts once.

        Raises:
            UserError: if the samples contain no images, or no texts.
        """
        images = {sample["image_id"]: sample for sample in results if "image_feature" in sample}
        texts = {sample["text_id"]: sample for sample in results if "text_feature" in sample}
        if not images or not texts:
            raise UserError(
                f"retrieval was evaluated on {len(images)} images and {len(texts)} texts: test a ConcatDataset of both, see "
                "KarpathyRetrieval"
            )
        self._report(results, images, texts)
        unreadable = {image_id for image_id, sample in images.items() if sample.get("unreadable")}
        reported = report_unreadable(len(unreadable), len(images))
        image_features = torch.stack([sample["image_feature"] for sample in images.values()])
        text_features = torch.stack([sample["text_feature"] for sample in texts.values()])
        dtype = wide_dtype(image_features, text_features)
        image_features, text_features = image_features.to(dtype), text_features.to(dtype)
        # Ids may be of any type, so images are numbered for the tensors.
        numbers = {image_id: number for number, image_id in enumerate(images)}
        image_owners = torch.arange(len(images))
        text_owners = torch.tensor([numbers.get(sample["image_id"], -1) for sample in texts.values()])
        lost = torch.tensor([image_id in unreadable for image_id in images])
        ranks = {
            "TR": best_ranks(image_features, text_features, image_owners, text_owners).masked_fill(lost, len(texts)),
            "IR": best_ranks(text_features, image_features, text_owners, image_owners).masked_fill(
                lost[text_owners] & (text_owners >= 0), len(images)
            ),
        }
        # A rank equal to the number of candidates means that nothing was found, also if k is larger.
        sizes = {"TR": len(texts), "IR": len(images)}
        recalls = {
            f"{name}@{k}": 100 * (rank < min(k, sizes[name])).double().mean().item()
            for name, rank in ranks.items()
            for k in self.topk
        }
        return {**recalls, "mean": sum(recalls.values()) / len(recalls), **reported}

    def _report(self, results: list[dict[str, Any]], images: Mapping[Any, Any], texts: Mapping[Any, Any]) -> None:
        """Log how many images and texts are compared, and how many cannot be found because their counterpart is missing."""
        owners = {sample["image_id"] for sample in texts.values()}
        lonely_images = len(images.keys() - owners)
        lonely_texts = sum(sample["image_id"] not in images for sample in texts.values())
        for feature, what, key, kept, reasons in (
            ("image_feature", "images", "image_id", images, {"have no text and find nothing": lonely_images}),
            ("text_feature", "texts", "text_id", texts, {"have no image in the data and find nothing": lonely_texts}),
        ):
            given = sum(feature in sample for sample in results)
            report_scored(len(kept), given, what, {f"repeat the {key} of another": given - len(kept), **reasons})
