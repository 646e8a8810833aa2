"""Two processes over gloo compute the same recall as one process."""

import pytest
import torch

from mmbeit3.evaluation import ImageTextRecall
from tests.processes import run_together


def samples():
    """Seven images and nine texts: odd numbers, so that two processes must repeat a sample."""
    generator = torch.Generator().manual_seed(3)
    owners = [0, 1, 2, 3, 4, 5, 6, 0, 3]
    images = torch.randn(7, 4, generator=generator)
    texts = images[owners] + 0.8 * torch.randn(9, 4, generator=generator)
    found = [{"image_id": i, "image_feature": feature} for i, feature in enumerate(images)]
    pairs = enumerate(zip(owners, texts, strict=True))
    return found + [{"image_id": owner, "text_id": i, "text_feature": text} for i, (owner, text) in pairs]


def worker(rank, folder):
    mine = samples()[:-1]
    metric = ImageTextRecall()
    # MMEngine's sampler deals samples out in turn, and repeats the first ones for a process that has one less.
    metric.process(None, (mine + mine[: len(mine) % 2])[rank::2])
    torch.save(metric.evaluate(len(mine)), f"{folder}/{rank}.pt")


def test_two_processes_find_the_same(tmp_path):
    # Forked, because importing everything twice would take most of the time.
    run_together(worker, tmp_path, start_method="fork")
    metric = ImageTextRecall()
    metric.process(None, samples()[:-1])
    expected = metric.evaluate(15)
    assert 0 < expected["retrieval/TR@1"] < 100
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected)
