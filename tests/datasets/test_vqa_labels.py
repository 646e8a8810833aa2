import pytest

from mmbeit3.datasets.vqa_answers import write_answers
from mmbeit3.datasets.vqa_labels import VQALabels, soft_score
from mmbeit3.errors import UserError


@pytest.mark.parametrize(("count", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_soft_scores(count, score):
    assert soft_score(count) == score


def test_targets(tmp_path):
    write_answers(["no", "yes", "red"], tmp_path / "answers.txt")
    label = VQALabels(str(tmp_path / "answers.txt"))
    # Looked up as they are: "Red" is not in the list.
    people = ["red", "red", "Red", "yes", "other", "yes", "yes", "yes", "yes", "no"]
    sample = label({"gt_answers": people})
    targets = dict(zip(sample["labels"].tolist(), sample["scores"].tolist(), strict=True))
    assert targets == pytest.approx({2: 0.6, 1: 1.0, 0: 0.3})
    for nobody in ([], ["other"] * 10):
        sample = label({"gt_answers": nobody})
        assert sample["labels"].shape == sample["scores"].shape == (0,)
        assert VQALabels(str(tmp_path / "answers.txt"), drop_unlabelled=True)({"gt_answers": nobody}) is None
    with pytest.raises(UserError, match=r"answers 'none\.txt' cannot be read"):
        VQALabels("none.txt")
