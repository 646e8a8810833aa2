"""The measured pretraining step: its batches, and the agreement of all contenders."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import pretraining
from benchmarks.cases import Unavailable, deviation
from benchmarks.pretraining import masked_batches, torchscale_pretraining
from benchmarks.settings import Settings
from benchmarks.suites import SUITES
from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import BEiT3

SETTINGS = Settings(batch=4).for_check()
SIDE = 64


class StandIn(nn.Module):
    """mmbeit3's network with torchscale's arguments; it returns the tokens of image and text in one tensor."""

    def __init__(self, arch, side, texts, weights):
        super().__init__()
        self.ours = BEiT3(arch, image_size=side)
        if weights is not None:
            self.ours.load_state_dict(weights)
        self.vision_embed = self.ours.vision.embed
        self.encoder = SimpleNamespace(embed_positions=SimpleNamespace(B=SimpleNamespace(weight=self.positions)))

    @property
    def positions(self):
        return self.ours.language.embed.positions

    def forward(self, textual_tokens, visual_tokens, text_padding_position, vision_masked_position):
        towers = self.ours(visual_tokens, textual_tokens, text_padding_position, vision_masked_position)
        return {"encoder_out": torch.cat([tokens for tokens in towers if tokens is not None], dim=1)}


def case(dtype="float32"):
    (found,) = SUITES["pretrain-step"](replace(SETTINGS, dtypes=(dtype,)))
    return replace(found, memory=False)


def apart(case):
    """Return the deviation of the peer's losses and gradients from mmbeit3's."""
    first, _, peer = case.contenders
    return deviation(first.make(True)(), peer.make(True)())


def test_streams_are_as_many_as_said_and_always_the_same():
    settings = Settings(batch=3)
    first, again = (masked_batches(settings, 224) for _ in range(2))
    assert list(first) == ["images", "texts", "pairs"]
    for name, batch in first.items():
        stream, same = batch.stream, again[name].stream
        assert (stream.image is None) == (name == "texts")
        assert (stream.tokens is None) == (name == "images")
        for tensor, other in ((stream.image, same.image), (stream.tokens, same.tokens)):
            assert tensor is None or (len(tensor) == 3 and torch.equal(tensor, other))
    assert not torch.equal(first["images"].stream.image, first["pairs"].stream.image)


def test_lengths_of_texts_are_spread_over_all_and_half_of_the_longest_on_average():
    settings = Settings(batch=64)
    for name in ("texts", "pairs"):
        stream = masked_batches(settings, 32)[name].stream
        lengths = (~stream.padding_mask).sum(1)
        assert lengths.double().mean().item() == pytest.approx(32, abs=1)
        assert lengths.min() >= 3
        assert lengths.max() == stream.tokens.shape[1] <= 64
        assert len(lengths.unique()) > 40
        assert (stream.tokens[stream.padding_mask] == 1).all()


def test_shares_of_what_is_masked():
    batches = masked_batches(Settings(batch=16), 224)
    for name in ("images", "pairs"):
        assert (batches[name].stream.masked_positions.sum(1) == round(0.4 * 196)).all()
    for name, share in (("texts", 0.15), ("pairs", 0.5)):
        batch = batches[name]
        words = (~batch.stream.padding_mask).sum(1) - 2
        torch.testing.assert_close(batch.masked_words.sum(1), (share * words).round().long().clamp_min(1))
        assert not batch.masked_words[batch.stream.padding_mask].any()
        hidden = batch.stream.tokens != batch.words
        assert hidden.any()
        assert not hidden[~batch.masked_words].any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_that_are_here_compute_the_same(dtype):
    found = case(dtype)
    steps = {}
    for contender in found.contenders:
        try:
            steps[contender.name] = contender.make(True)
        except Unavailable:
            assert contender.name.startswith("torchscale")
    assert {"mmbeit3 (one pass)", "mmbeit3 (three passes)"} <= set(steps)
    expected, *others = (step() for step in steps.values())
    for result in others:
        assert deviation(expected, result) < found.tolerance


def test_losses_and_gradients_by_another_way():
    batches = masked_batches(SETTINGS, SIDE)
    module = pretraining.mmbeit3_pretraining(SETTINGS.sizes, SIDE).train()
    expected = []
    for batch in batches.values():
        stream = batch.stream
        out = module(stream.image, stream.tokens, stream.padding_mask, stream.masked_positions)
        if stream.image is not None:
            logits = F.linear(out.vision[:, 1:], module.mim_head.weight, module.mim_head.bias)
            codes = batch.codes.masked_fill(~stream.masked_positions, -100)
            expected.append(F.cross_entropy(logits.flatten(0, 1), codes.flatten()))
        if stream.tokens is not None:
            logits = F.linear(out.language, module.mlm_head.weight, module.mlm_head.bias)
            words = batch.words.masked_fill(~batch.masked_words, -100)
            expected.append(F.cross_entropy(logits.flatten(0, 1), words.flatten()))
    sum(expected).backward()
    gradient = module.language.embed.positions.grad
    result = case().contenders[0].make(True)()
    assert deviation([*(loss.detach() for loss in expected), gradient], [*result[:4], result[5]]) < 1e-4


def test_peer_predicts_what_is_masked_and_nothing_else(monkeypatch):
    monkeypatch.setattr(pretraining, "torchscale_beit3", StandIn)
    assert apart(case()) < 1e-4


def test_peer_whose_head_differs_is_seen(monkeypatch):
    def other_head(arch, side, batches, weights):
        changed = {**weights, "mlm_head.weight": weights["mlm_head.weight"].roll(1, 0)}
        return torchscale_pretraining(arch, side, batches, changed)

    monkeypatch.setattr(pretraining, "torchscale_beit3", StandIn)
    monkeypatch.setattr(pretraining, "torchscale_pretraining", other_head)
    found = case()
    assert apart(found) > found.tolerance


def test_peer_keeps_its_own_weights_where_equal_ones_are_not_wanted(monkeypatch):
    monkeypatch.setattr(pretraining, "torchscale_beit3", StandIn)
    monkeypatch.setattr(pretraining, "mmbeit3_pretraining", lambda *_: pytest.fail("our network was built on the way"))
    found = case().contenders[-1].make(False)()
    assert [result.shape for result in found[:4]] == [torch.Size([])] * 4


def test_batch_is_checked_and_named():
    with pytest.raises(UserError, match="batch of 0"):
        Settings(batch=0).checked()
    (found,) = SUITES["pretrain-step"](Settings(batch=7, sides=(224,)))
    assert "7 images + 7 texts + 7 pairs" in found.name


def test_batch_is_an_option_of_the_command(run_tool):
    code, output = run_tool("benchmark", "pretrain-step", "--batch", "-1")
    assert code == 2
    assert "error: a batch of -1 is too small: use at least 1" in output.err
