"""Confusion matrix of a segmentor, counted in pixels."""

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
    """mIoU, mAcc and aAcc (in percent) as mmseg's ``IoUMetric`` computes them, with the confusion matrix behind them.

    After the evaluation, ``confusion`` is an int64 array (C, C) of pixel counts; rows are true classes, columns predicted
    classes. ``images`` holds the path and the mIoU in percent of each image, over the classes that occur in its ground truth
    or prediction; None for an image without labelled pixels.

    Args:
        ignore_index: label of pixels that do not count.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; none by default.
    """

    def __init__(self, ignore_index: int = 255, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.confusion = np.zeros((0, 0), np.int64)
        self.images: list[tuple[str, float | None]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count pairs of true and predicted label in ``gt_sem_seg`` and ``pred_sem_seg`` of a batch, (1, H, W) each.

        Raises:
            UserError: if a label is not the index of a class of the dataset.
        """
        count = len((self.dataset_meta or {})["classes"])
        for sample in data_samples:
            truth = sample["gt_sem_seg"]["data"].squeeze(0).cpu().numpy().astype(np.int64)
            predicted = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy().astype(np.int64)
            counted = truth != self.ignore_index
            truth, predicted = truth[counted], predicted[counted]
            largest = max(truth.max(initial=0), predicted.max(initial=0))
            if largest >= count:
                raise UserError(f"'{sample['img_path']}' has label {largest}, but the dataset has {count} classes")
            # A pair of labels as one number: row-major index into the (C, C) matrix.
            pairs, pixels = np.unique(truth * count + predicted, return_counts=True)
            self.results.append((sample["img_path"], pairs, pixels))

    def compute_metrics(self, results: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Sum the confusion matrices of all images and compute the scores."""
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
    """Return IoU and accuracy of each class in percent, (C,) each.

    IoU is NaN for a class that is neither in the ground truth nor predicted, accuracy for a class that is not in the ground
    truth.

    Args:
        confusion: pixel counts (C, C); rows are true classes, columns predicted classes.
    """
    right, truth, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        return 100 * right / (truth + predicted - right), 100 * right / truth


def most_confused(confusion: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """Return the pairs of classes with the most wrong pixels.

    Args:
        confusion: pixel counts (C, C); rows are true classes, columns predicted classes.
        count: largest number of pairs.

    Returns:
        True class, predicted class, and the wrong pixels in percent of the true class's pixels; most pixels first.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(index), len(wrong)) for index in order]
    return [
        (truth, predicted, 100 * float(wrong[truth, predicted] / confusion[truth].sum()))
        for truth, predicted in pairs
        if wrong[truth, predicted]
    ]
