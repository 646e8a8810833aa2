import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbeit3.errors import UserError
from mmbeit3.evaluation import LabelAccuracy


def evaluate(scores, labels, topk=(1, 2), **fields):
    metric = LabelAccuracy(topk)
    samples = [
        {"pred_score": s, "gt_label": torch.tensor([label]), **{k: v[i] for k, v in fields.items()}}
        for i, (s, label) in enumerate(zip(scores, labels, strict=True))
    ]
    metric.process(None, samples)
    return metric.evaluate(len(samples))


@given(st.integers(0, 1000))
def test_equals_sorting(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(7, 5, generator=generator)
    labels = torch.randint(5, (7,), generator=generator)
    result = evaluate(scores, labels.tolist(), (1, 3))
    order = scores.argsort(dim=1, descending=True)
    for k in (1, 3):
        expected = (order[:, :k] == labels[:, None]).any(1).double().mean()
        assert result[f"accuracy/top{k}"] == pytest.approx(100 * expected.item())


def test_equal_scores_follow_argmax():
    same = torch.ones(4, 4)
    assert evaluate(same, [0, 1, 2, 3], (1, 2)) == {"accuracy/top1": 25.0, "accuracy/top2": 50.0}
    nothing = torch.full((2, 4), torch.nan)
    assert evaluate(nothing, [0, 1], (1, 2)) == {"accuracy/top1": 0.0, "accuracy/top2": 0.0}


def test_unreadable_images_count_as_wrong():
    result = evaluate(torch.eye(4), [0, 1, 2, 3], (1, 4), unreadable=[False, True, False, False])
    assert result == {"accuracy/top1": 75.0, "accuracy/top4": 75.0, "accuracy/unreadable": 1}


def test_classes_that_do_not_fit():
    with pytest.raises(UserError, match=r"4 classes, but the data has label 0 and the metric topk=.1, 5."):
        evaluate(torch.eye(4), [0, 1, 2, 3], (1, 5))
    with pytest.raises(UserError, match="has label 4"):
        evaluate(torch.eye(4), [4, 1, 2, 3])
