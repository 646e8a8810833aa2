import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbeit3.errors import UserError
from mmbeit3.evaluation import VQAScore
from mmbeit3.evaluation.metrics.vqa_score import agreement


def leave_one_out(answer, people):
    """Compute the score by its definition: leave out each person in turn."""
    scores = []
    for left_out in range(len(people)):
        others = people[:left_out] + people[left_out + 1 :]
        scores.append(min(1, others.count(answer) / 3))
    return sum(scores) / len(scores)


@given(st.lists(st.sampled_from(["red", "blue", "box"]), min_size=1, max_size=10))
def test_equals_leaving_out_each_person(people):
    assert agreement("red", people) == pytest.approx(leave_one_out("red", people))


def test_known_values():
    values = [agreement("red", ["red"] * n + ["no"] * (10 - n)) for n in range(11)]
    assert values == pytest.approx([0, 0.3, 0.6, 0.9, *[1.0] * 7])
    assert all(a <= b for a, b in pairwise(values))
    assert agreement("two", ["2"] * 3 + ["the 2."] + ["three"] * 6) == 1


def sample(question_id, answer, people=("red",) * 10, **fields):
    return {"question_id": question_id, "pred_answer": answer, "gt_answers": list(people), **fields}


def test_metric_and_submission(tmp_path):
    out = tmp_path / "new" / "answers.json"
    metric = VQAScore(submission=str(out))
    samples = [sample(5, "red"), sample(6, "blue"), sample(7, "red", unreadable=True), sample(8, "x", people=())]
    metric.process(None, samples)
    assert metric.evaluate(4) == {"vqa/score": pytest.approx(100 / 3), "vqa/unreadable": 1}
    assert json.loads(out.read_text()) == [
        {"question_id": 5, "answer": "red"},
        {"question_id": 6, "answer": "blue"},
        {"question_id": 7, "answer": "red"},
        {"question_id": 8, "answer": "x"},
    ]


def test_says_how_many_it_scored(logged):
    metric = VQAScore()
    metric.process(None, [sample(5, "red"), sample(5, "blue"), sample(6, "red"), sample(8, "x", people=())])
    assert metric.evaluate(4) == {"vqa/score": 50}
    assert logged == ["2 of 4 questions are scored: 1 have no answers by people; 1 repeat the question_id of another"]


def test_split_without_answers(tmp_path):
    metric = VQAScore(submission=str(tmp_path / "answers.json"))
    metric.process(None, [sample(5, "red", people=())])
    assert metric.evaluate(1) == {}
    assert (tmp_path / "answers.json").is_file()


def test_errors(tmp_path):
    with pytest.raises(UserError, match="predicts no answers"):
        VQAScore().process(None, [{"question_id": 1, "pred_label": 3}])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a folder"):
        VQAScore(submission=str(tmp_path))
    with pytest.raises(UserError, match=r"answers.json' cannot be written: .*: a file has the name of its folder"):
        VQAScore(submission=str(tmp_path / "file" / "answers.json"))
