"""The captioning objective: masking, and the loss against plain references."""

import pytest
import torch
from torch.nn import functional as F

from mmbeit3.tasks.masked_captions import keep_best, mask_captions, smoothed_loss

MASK, EOS = 199, 2


def test_how_much_is_masked_and_where():
    lengths = torch.arange(2, 32).repeat_interleave(400)
    tokens = torch.randint(3, 190, (len(lengths), 31))
    place = torch.arange(31)
    padding = place >= lengths[:, None]
    tokens[:, 0], tokens[padding] = 0, 1
    tokens[place == lengths[:, None] - 1] = EOS
    masked, chosen = mask_captions(tokens, padding, 0.7, MASK)
    wanted = torch.tensor([min(max(int(n * 0.7 + 0.5), 1), n - 1) for n in lengths.tolist()])
    assert torch.equal(chosen.sum(dim=1), wanted)
    assert not chosen[padding].any()
    assert not chosen[:, 0].any()
    assert torch.equal(masked[~chosen], tokens[~chosen])
    # All positions have the same probability, also that of </s>.
    often = chosen[lengths == 31][:, 1:].float().mean(dim=0)
    torch.testing.assert_close(often, torch.full((30,), 22 / 30), atol=0.1, rtol=0)
    was, now = tokens[chosen], masked[chosen]
    assert (now == MASK).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (now == was).float().mean() == pytest.approx(0.1, abs=0.01)
    others = now[(now != MASK) & (now != was)]
    assert others.unique().tolist() == list(range(3, MASK))
    again = (mask_captions(tokens, padding, 0.7, MASK, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(next(again)[0], next(again)[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_loss_is_the_divergence_from_the_smoothed_truth(smoothing):
    logits, targets = 3 * torch.randn(7, 11), torch.randint(11, (7,))
    truth = torch.full((7, 11), smoothing / 10)
    truth[torch.arange(7), targets] = 1 - smoothing
    expected = F.kl_div(logits.log_softmax(dim=1), truth, reduction="none").sum(dim=1)
    torch.testing.assert_close(smoothed_loss(logits, targets, smoothing), expected, atol=1e-5, rtol=1e-5)
    if smoothing:
        assert float(smoothed_loss(truth.log(), targets, smoothing).abs().max()) < 1e-6


def test_worst_are_dropped():
    losses = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    assert sorted(keep_best(losses, 0.2).tolist()) == [1, 2, 3, 4]
    assert sorted(keep_best(losses, 0.5).tolist()) == [1, 2]
    assert keep_best(losses[:1], 0.2).tolist() == [5]
