"""Means under corruption, by hand."""

import pytest

from mmbeit3.evaluation.published import EvaluationRecord
from mmbeit3.evaluation.published.robustness import corruption_rows, summarize, summary_rows


def record(score, corruption=None, severity=0, name="a", error=None):
    scores = {} if error else {"mIoU": score}
    return EvaluationRecord(name, "c.py", "w.pth", corruption=corruption, severity=severity, scores=scores, error=error)


def test_means():
    records = [record(50.0), record(40.0, "fog", 1), record(20.0, "fog", 5), record(10.0, "contrast", 1)]
    (found,) = summarize(records)
    # Over corruptions of the mean over severities: (30 + 10) / 2.
    assert found.corrupted == pytest.approx(20)
    assert found.relative == pytest.approx(40)
    assert summary_rows([found])[1] == ["a", "mIoU", "50.00", "20.00", "40.00"]
    header, fog, contrast = corruption_rows([found])
    assert header == ["model", "corruption", "1", "5", "mean", "relative %"]
    assert fog == ["a", "fog", "40.00", "20.00", "30.00", "60.0"]
    assert contrast == ["", "contrast", "10.00", "", "10.00", "20.0"]


def test_a_mean_over_what_did_not_fail_would_flatter():
    (found,) = summarize([record(50.0), record(40.0, "fog", 1), record(0, "fog", 5, error="no luck")])
    assert found.corrupted is found.relative is None
    assert summary_rows([found])[1] == ["a", "mIoU", "50.00", "", ""]


def test_without_a_clean_score():
    assert summarize([record(0, error="no luck"), record(40.0, "fog", 1)]) == []
    (found,) = summarize([record(0.0), record(0.0, "fog", 1), record(9.0, name="b", corruption="fog", severity=1)])
    assert found.corrupted == 0
    assert found.relative is None
