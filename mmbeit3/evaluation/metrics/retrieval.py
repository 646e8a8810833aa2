"""Recall of image-text retrieval over a whole split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.counts import report_scored
from mmbeit3.evaluation.metrics.unreadable import report_unreadable
from mmbeit3.ops import wide_dtype
from mmbeit3.registry import METRICS

__all__ = ["ImageTextRecall", "best_places"]

_CHUNK = 1024
"""Queries that are compared at once, to bound memory."""


def best_places(queries: Tensor, candidates: Tensor, query_owners: Tensor, candidate_owners: Tensor) -> Tensor:
    """For each query, how many wrong candidates come before its best right one.

    Wrong ones that are as similar come first, so that features which are all the same find nothing, and so do those that are no
    numbers.

    Args:
        queries: features (N, C).
        candidates: features (M, C).
        query_owners: ids (N,); a candidate of the same id is right.
        candidate_owners: ids (M,).

    Returns:
        (N,), int64; M for queries without a right candidate.
    """
    places = []
    for rows, owners in zip(queries.split(_CHUNK), query_owners.split(_CHUNK), strict=True):
        similarity = rows @ candidates.T
        right = owners[:, None] == candidate_owners
        best = similarity.masked_fill(~right | similarity.isnan(), -torch.inf).amax(1, keepdim=True)
        before = (~(similarity < best) & ~right).sum(1)
        places.append(torch.where(best[:, 0] == -torch.inf, len(candidates), before))
    return torch.cat(places)


@METRICS.register_module()
class ImageTextRecall(BaseMetric):
    """Recall (in percent) of texts by images, ``TR@k``, and of images by texts, ``IR@k``, and their ``mean``.

    A query counts if any of its own is among the first k. Samples have ``image_feature`` (C,), ``text_feature`` (C,) and
    ``text_id``, or both, and ``image_id``, a text's being that of its image. Features are gathered over all processes. An image
    that could not be read stays, as a grey one, among the candidates, but neither it nor its texts find anything.

    Args:
        topk: values of k.
        collect_device: MMEngine's.
        prefix: stands before the names; default ``retrieval``.
    """

    default_prefix = "retrieval"

    def __init__(self, topk: Sequence[int] = (1, 5, 10), collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep a batch's features."""
        kept = ("image_id", "image_feature", "text_id", "text_feature", "unreadable")
        for sample in data_samples:
            result = {name: sample[name] for name in kept if name in sample}
            # A view of a batch's features would keep, and send, all of them.
            self.results.append({k: v.cpu().clone() if isinstance(v, Tensor) else v for k, v in result.items()})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Compare all images with all texts; what comes twice counts once.

        Raises:
            UserError: if there are no images, or no texts.
        """
        images = {one["image_id"]: one for one in results if "image_feature" in one}
        texts = {one["text_id"]: one for one in results if "text_feature" in one}
        if not images or not texts:
            raise UserError(
                f"retrieval was evaluated on {len(images)} images and {len(texts)} texts: test a ConcatDataset of both, see "
                "KarpathyRetrieval"
            )
        self._report(results, images, texts)
        unreadable = {image_id for image_id, one in images.items() if one.get("unreadable")}
        reported = report_unreadable(len(unreadable), len(images))
        image_features = torch.stack([one["image_feature"] for one in images.values()])
        text_features = torch.stack([one["text_feature"] for one in texts.values()])
        dtype = wide_dtype(image_features, text_features)
        image_features, text_features = image_features.to(dtype), text_features.to(dtype)
        # Ids may be of any kind.
        numbers = {image_id: number for number, image_id in enumerate(images)}
        image_owners = torch.arange(len(images))
        text_owners = torch.tensor([numbers.get(one["image_id"], -1) for one in texts.values()])
        lost = torch.tensor([image_id in unreadable for image_id in images])
        places = {
            "TR": best_places(image_features, text_features, image_owners, text_owners).masked_fill(lost, len(texts)),
            "IR": best_places(text_features, image_features, text_owners, image_owners).masked_fill(
                lost[text_owners] & (text_owners >= 0), len(images)
            ),
        }
        # Places from the number of candidates on stand for nothing found, however great k is.
        sizes = {"TR": len(texts), "IR": len(images)}
        recalls = {
            f"{name}@{k}": 100 * (place < min(k, sizes[name])).double().mean().item()
            for name, place in places.items()
            for k in self.topk
        }
        return {**recalls, "mean": sum(recalls.values()) / len(recalls), **reported}

    def _report(self, results: list[dict[str, Any]], images: Mapping[Any, Any], texts: Mapping[Any, Any]) -> None:
        """Log how many images and texts are compared, and what cannot be found because its counterpart is not there."""
        owners = {one["image_id"] for one in texts.values()}
        for feature, what, key, found, reasons in (
            ("image_feature", "images", "image_id", images, {"have no text and find nothing": len(images.keys() - owners)}),
            (
                "text_feature",
                "texts",
                "text_id",
                texts,
                {"are of no image here and find nothing": sum(one["image_id"] not in images for one in texts.values())},
            ),
        ):
            given = sum(feature in one for one in results)
            report_scored(len(found), given, what, {f"have the {key} of another": given - len(found), **reasons})
