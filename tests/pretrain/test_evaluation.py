"""Scores of reconstruction compared with hand counts."""

import math

import pytest
import torch

from mmbeit3.pretrain.evaluation import PartScore, evaluate_pretraining
from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer
from tests.goldens import ARCH
from tests.pretrain.test_pretrainer import SIZES, step


def test_constant_guesses():
    score = PartScore()
    score.targets.update([1, 1, 2, 3])
    assert score.majority_accuracy == 0.5
    assert score.entropy == pytest.approx(1.5 * math.log(2))


def test_means_are_over_all_that_is_masked():
    torch.manual_seed(0)
    model = BEiT3Pretrainer({"arch": ARCH}, SIZES)
    steps = [step(seed) for seed in range(3)]
    scores = evaluate_pretraining(model, steps)
    # Weights of losses do not matter.
    model.network.loss_weights = {"texts.text": 0.25, "images.image": 0.0}
    assert evaluate_pretraining(model, steps) == scores
    model.network.loss_weights = {}
    assert set(scores) == {"images.image", "texts.text", "pairs.image", "pairs.text"}
    words = [(model(given), given["texts"]["masked_words"].sum().item()) for given in steps]
    total = sum(count for _, count in words)
    assert scores["texts.text"].targets.total() == total
    for key, value in (("loss", scores["texts.text"].loss), ("accuracy", scores["texts.text"].accuracy)):
        assert value == pytest.approx(
            sum(losses[f"texts.text.{key}"].item() * count for losses, count in words) / total, abs=1e-5
        )
    assert scores["images.image"].targets.total() == 3 * 12
