import numpy as np
import pytest

from mmbeit3.evaluation.metrics.chance import most_frequent, most_frequent_of, random_recall


def test_most_frequent():
    assert most_frequent(["b", "a", "a", "b", "c"]) == "b"
    assert most_frequent_of([("x", 1), ("y", 2), ("x", 3), ("x", 3)]) == {"x": 3, "y": 2}


def test_random_recall_equals_what_random_orders_recall():
    right, candidates, topk = [1, 3, 2], 12, (1, 5, 20)
    rng = np.random.default_rng(0)
    found = np.zeros(len(topk))
    trials = 4000
    for _ in range(trials):
        for own in right:
            best = np.flatnonzero(rng.permutation(candidates) < own).min()
            found += [best < k for k in topk]
    assert random_recall(right, candidates, topk) == pytest.approx(100 * found / trials / len(right), abs=1.5)
    assert random_recall([1], 4, (1,)) == [25]
