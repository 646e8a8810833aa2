"""Label maps from logits: equal to resizing all of them at once."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmbeit3.inference import logits
from mmbeit3.inference.logits import ClassLogits, label_dtype


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("classes", [2, 7, 300])
def test_parts_equal_the_whole(classes, align_corners, monkeypatch):
    values = torch.randn(classes, 6, 9, generator=torch.Generator().manual_seed(classes)).round(decimals=1)
    expected = F.interpolate(values[None], (20, 31), mode="bilinear", align_corners=align_corners)[0].argmax(0).numpy()
    found = ClassLogits(values, align_corners, 0.5)
    assert np.array_equal(found.labels((20, 31)), expected)
    monkeypatch.setattr(logits, "_LARGEST", 20 * 31)
    assert np.array_equal(found.labels((20, 31)), expected)
    assert found.labels((20, 31)).dtype == (np.uint16 if classes == 300 else np.uint8)


def test_the_first_of_equal_classes_wins(monkeypatch):
    monkeypatch.setattr(logits, "_LARGEST", 1)
    assert not ClassLogits(torch.zeros(5, 3, 4), False, 0.5).labels((6, 8)).any()


def test_binary_models():
    values = torch.tensor([[[-1.0, 0.2], [0.9, 3.0]]])
    assert ClassLogits(values, False, 0.6).labels((2, 2)).tolist() == [[0, 0], [1, 1]]
    assert ClassLogits(values, False, 0.5).labels((2, 2)).tolist() == [[0, 1], [1, 1]]
    assert label_dtype(255) is np.uint8
