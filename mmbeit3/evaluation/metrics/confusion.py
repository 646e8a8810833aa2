"""Which classes a segmentor takes for which, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.registry import METRICS

__all__ = ["ConfusionMatrix", "class_scores", "most_confused"]


@METRICS.register_module()
class ConfusionMatrix(BaseMetric):
    """mIoU, mAcc and aAcc (in percent) as mmseg's ``IoUMetric``, which keep what they are made of.

    After the evaluation ``confusion`` is an int64 array (C, C) of pixels, true classes down and predicted ones across, and
    ``images`` has the path and the mIoU in percent of each image, over the classes that are in it or were predicted; None where
    no pixel is labelled.

    Args:
        ignore_index: label of pixels that do not count.
        collect_device: MMEngine's.
        prefix: stands before the names; none by default.
    """

    def __init__(self, ignore_index: int = 255, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.confusion = np.zeros((0, 0), np.int64)
        self.images: list[tuple[str, float | None]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count the pairs of labels of a batch: ``gt_sem_seg`` and ``pred_sem_seg``, (1, H, W) each.

        Raises:
            UserError: if a label is none of the dataset's classes.
        """
        count = len((self.dataset_meta or {})["classes"])
        for sample in data_samples:
            truth = sample["gt_sem_seg"]["data"].squeeze(0).cpu().numpy().astype(np.int64)
            predicted = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy().astype(np.int64)
            counted = truth != self.ignore_index
            truth, predicted = truth[counted], predicted[counted]
            largest = max(truth.max(initial=0), predicted.max(initial=0))
            if largest >= count:
                raise UserError(f"'{sample['img_path']}': label {largest}, but the dataset names {count} classes")
            pairs, pixels = np.unique(truth * count + predicted, return_counts=True)
            self.results.append((sample["img_path"], pairs, pixels))

    def compute_metrics(self, results: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Sum over images."""
        count = len((self.dataset_meta or {})["classes"])
        self.confusion = np.zeros((count, count), np.int64)
        self.images = []
        for path, pairs, pixels in results:
            image = np.zeros(count * count, np.int64)
            image[pairs] = pixels
            self.confusion += image.reshape(count, count)
            ious, _ = class_scores(image.reshape(count, count))
            self.images.append((path, None if np.isnan(ious).all() else float(np.nanmean(ious))))
        ious, accuracies = class_scores(self.confusion)
        right = self.confusion.trace() / max(self.confusion.sum(), 1)
        return {"aAcc": 100 * float(right), "mIoU": float(np.nanmean(ious)), "mAcc": float(np.nanmean(accuracies))}


def class_scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU and accuracy of each class in percent, (C,) each; NaN where a class is neither there nor predicted, or not there.

    Args:
        confusion: pixels (C, C), true classes down and predicted ones across.
    """
    right, truth, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        return 100 * right / (truth + predicted - right), 100 * right / truth


def most_confused(confusion: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """The pairs of classes that cost most pixels: the true one, the predicted one, and percent of the true one's pixels."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(wrong)) for place in order]
    return [
        (truth, predicted, 100 * float(wrong[truth, predicted] / confusion[truth].sum()))
        for truth, predicted in pairs
        if wrong[truth, predicted]
    ]
