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
    # "Red" is "red" to VQA's evaluation.
    people = ["red", "red", "Red", "yes", "other", "yes", "yes", "yes", "yes", "no"]
    sample = label({"gt_answers": people})
    targets = dict(zip(sample["labels"].tolist(), sample["scores"].tolist(), strict=True))
    assert targets == pytest.approx({2: 0.9, 1: 1.0, 0: 0.3})
    for nobody in ([], ["other"] * 10):
        sample = label({"gt_answers": nobody})
        assert sample["labels"].shape == sample["scores"].shape == (0,)
        assert VQALabels(str(tmp_path / "answers.txt"), drop_unlabelled=True)({"gt_answers": nobody}) is None
    with pytest.raises(UserError, match=r"answers 'none\.txt' cannot be read"):
        VQALabels("none.txt")


def test_lists_and_answers_are_compared_alike(tmp_path):
    (tmp_path / "answers.txt").write_text("Yes\nNo\nThe red one\n", encoding="utf-8-sig")
    label = VQALabels(str(tmp_path / "answers.txt"))
    for answer, expected in (("yes", 0), ("YES.", 0), ("no", 1), ("red 1", 2), ("a red one", 2)):
        assert label({"gt_answers": [answer] * 10})["labels"].tolist() == [expected]
    (tmp_path / "answers.txt").write_text("yes\nno\nYes\n")
    with pytest.raises(UserError, match="'yes' and 'Yes' are equal to VQA's evaluation"):
        VQALabels(str(tmp_path / "answers.txt"))


def test_too_few_labels(tmp_path, caplog):
    write_answers(["no", "yes"], tmp_path / "answers.txt")
    answered = [["no"] * 10, ["yes"] * 10, ["other"] * 10, ["other"] * 10]
    path = str(tmp_path / "answers.txt")
    with pytest.raises(UserError, match=r"data: 2 of 5 questions have an answer in the list .*, less than min_labelled=0.5"):
        VQALabels(path).check([*answered, ["none of them"] * 10], "data")
    VQALabels(path, min_labelled=0.4).check([*answered, ["none of them"] * 10], "data")
    VQALabels(path).check(answered, "data")
    VQALabels(path).check([[], []], "data")
    with pytest.raises(UserError, match="data: 0 of 2 questions"):
        VQALabels(path, drop_unlabelled=True, min_labelled=0).check([[], []], "data")
