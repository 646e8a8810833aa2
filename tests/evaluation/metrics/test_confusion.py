"""Confusion of classes, compared with mmseg's metric and with results by hand."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mmbeit3.errors import UserError
from mmbeit3.evaluation import ConfusionMatrix
from mmbeit3.evaluation.metrics.confusion import class_scores, most_confused

CLASSES = ("sky", "sea", "sand", "none")


def sample(truth, predicted, path="a.png"):
    def data(labels):
        return PixelData(data=torch.as_tensor(np.asarray(labels))[None])

    return SegDataSample(gt_sem_seg=data(truth), pred_sem_seg=data(predicted), metainfo={"img_path": path}).to_dict()


def evaluate(metric, samples):
    metric.dataset_meta = {"classes": CLASSES}
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def test_as_mmseg():
    rng = np.random.default_rng(0)
    samples = []
    for number in range(3):
        truth = rng.choice([0, 1, 2, 255], size=(9, 11), p=[0.5, 0.3, 0.1, 0.1])
        predicted = np.where(rng.random((9, 11)) < 0.6, np.minimum(truth, 2), rng.integers(0, 3, (9, 11)))
        samples.append(sample(truth, predicted, f"{number}.png"))
    ours = ConfusionMatrix()
    scores = evaluate(ours, samples)
    theirs = evaluate(IoUMetric(iou_metrics=["mIoU"]), samples)
    # mmseg rounds.
    assert scores == pytest.approx({name: theirs[name] for name in ("aAcc", "mIoU", "mAcc")}, abs=0.0051)
    for one, (path, value) in zip(samples, ours.images, strict=True):
        assert path == one["img_path"]
        assert value == pytest.approx(evaluate(IoUMetric(iou_metrics=["mIoU"]), [one])["mIoU"], abs=0.0051)


def test_by_hand():
    metric = ConfusionMatrix()
    scores = evaluate(metric, [sample([[0, 0, 1], [1, 1, 255]], [[0, 1, 1], [1, 0, 3]]), sample([[255]], [[2]], "b.png")])
    assert metric.confusion.tolist() == [[1, 1, 0, 0], [1, 2, 0, 0], [0] * 4, [0] * 4]
    assert scores == pytest.approx({"aAcc": 60, "mIoU": 100 * (1 / 3 + 1 / 2) / 2, "mAcc": 100 * (1 / 2 + 2 / 3) / 2})
    assert metric.images == [("a.png", pytest.approx(scores["mIoU"])), ("b.png", None)]


def test_class_that_is_predicted_but_not_there():
    ious, accuracies = class_scores(np.array([[3, 1], [0, 0]]))
    assert ious.tolist() == [75, 0]
    assert accuracies[0] == 75
    assert np.isnan(accuracies[1])


def test_most_confused():
    confusion = np.array([[90, 10, 0], [2, 2, 0], [0, 5, 5]])
    assert most_confused(confusion, 9) == [(0, 1, 10.0), (2, 1, 50.0), (1, 0, 50.0)]
    assert most_confused(confusion, 1) == [(0, 1, 10.0)]
    assert most_confused(np.diag([1, 2]), 3) == []


def test_label_beyond_the_classes():
    with pytest.raises(UserError, match=r"'a\.png' has label 7, but the dataset has 4 classes"):
        evaluate(ConfusionMatrix(), [sample([[7]], [[0]])])
