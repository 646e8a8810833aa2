"""Entropy, mutual information and k-means, against brute force."""

import math
from collections import Counter

import pytest
import torch

from mmbeit3.pretrain.code_statistics import entropy, kmeans, mutual_information


def test_information_is_that_of_the_definition():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 5, (300,), generator=generator)
    second = (first + torch.randint(0, 2, (300,), generator=generator)) % 4
    count = len(first)
    pairs = Counter(zip(first.tolist(), second.tolist(), strict=True))
    one, other = Counter(first.tolist()), Counter(second.tolist())
    expected = sum(n / count * math.log2(n * count / (one[a] * other[b])) for (a, b), n in pairs.items())
    assert mutual_information(first, second) == pytest.approx(expected, abs=1e-9)
    assert mutual_information(second, first) == pytest.approx(expected, abs=1e-9)
    assert entropy(first) == pytest.approx(-sum(n / count * math.log2(n / count) for n in one.values()))
    # Bounds: nothing from a constant, all of the entropy from the labels.
    assert mutual_information(torch.zeros_like(first), first) == pytest.approx(0, abs=1e-9)
    assert mutual_information(first, first) == pytest.approx(entropy(first))
    with pytest.raises(ValueError, match="equally long"):
        mutual_information(first, second[1:])


def test_kmeans_finds_clusters():
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 0], [0, 0, 5]])
    truth = torch.randint(0, 4, (400,), generator=generator)
    rows = centres[truth] + 0.1 * torch.randn(400, 3, generator=generator)
    found = kmeans(rows, 12)
    assert mutual_information(found, truth) == pytest.approx(entropy(truth))
    # More clusters than rows.
    assert kmeans(rows[:2], 5).shape == (2,)
