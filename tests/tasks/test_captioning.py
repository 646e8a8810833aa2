"""Captioning: the reference's outputs and captions, the objective against a plain one, and training that learns."""

import json
import math
from functools import partial
from itertools import product

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch.nn import functional as F

from benchmarks.suites.captioning import WholeTexts
from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.registry import MODELS
from mmbeit3.tasks import captioning
from mmbeit3.tasks.captioning import BEiT3Captioning, CaptioningNetwork, NextCaptionWords
from mmbeit3.tasks.decoding import beam_search
from mmbeit3.tasks.masked_captions import keep_best, mask_captions, smoothed_loss
from mmbeit3.text.tokenizer import train_text_tokenizer
from tests.goldens import ARCH, golden

GOLDEN = {
    "embed_dims": 32,
    "num_layers": 3,
    "num_heads": 2,
    "ffn_dims": 128,
    "image_size": 48,
    "vocab_size": 200,
    "max_text_positions": 64,
}
SMALL = {**ARCH, "num_layers": 2, "vocab_size": 60}
MASK, EOS = 199, 2


@pytest.fixture(scope="module")
def reference():
    return golden("beit3_tasks_a.npz")


@pytest.fixture
def loaded(reference):
    network = CaptioningNetwork(GOLDEN).eval()
    prefix = "captioning/weight/"
    report = load_checkpoint(network, {k.removeprefix(prefix): v for k, v in reference.items() if k.startswith(prefix)})
    assert report.missing == []
    return network


@torch.no_grad()
def test_logits_are_the_reference_s(reference, loaded):
    padding = reference["padding"].bool()
    logits = loaded.logits(reference["image"], reference["tokens"], padding)
    torch.testing.assert_close(logits[~padding], reference["captioning/logits"][~padding], atol=2e-4, rtol=0)


@torch.no_grad()
def test_later_words_change_nothing(reference, loaded):
    image, tokens = reference["image"], torch.randint(3, 199, (3, 9))
    logits = loaded.logits(image, tokens)
    for place in range(1, 9):
        changed = tokens.clone()
        changed[:, place:] = torch.randint(3, 199, (3, 9 - place))
        torch.testing.assert_close(loaded.logits(image, changed)[:, :place], logits[:, :place], atol=1e-6, rtol=0)
        assert not torch.allclose(loaded.logits(image, changed)[:, place], logits[:, place], atol=1e-3)


@pytest.mark.parametrize(("way", "batch"), [(NextCaptionWords, 4), (NextCaptionWords, 1), (WholeTexts, 4)])
@torch.no_grad()
def test_captions_are_the_reference_s(loaded, way, batch):
    file = golden("caption_beams_a.npz")
    bias = loaded.mlm_head.bias.clone()
    runs = json.loads(bytes(file["settings"].numpy()))["runs"]
    for number, run in enumerate(runs):
        loaded.mlm_head.bias.copy_(bias)
        loaded.mlm_head.bias[EOS] += run["eos_bias"]
        beams, length = run["num_beams"], run["max_len"]
        found = []
        for image in file["image"].split(batch):
            next_words = way(loaded, image, MASK, beams, length)
            found += beam_search(next_words, torch.zeros(batch, dtype=torch.long), beams, length, run["length_penalty"])
        # The reference leaves the mask token in, before </s>.
        expected = [[token for token in ids if token not in (1, MASK)] for ids in file[f"{number}/tokens"].tolist()]
        assert found == expected, run


def small(**changes):
    settings = {"network": {"arch": SMALL}, "mask_id": 59, "max_length": 12, **changes}
    return MODELS.build({"type": "mmbeit3.BEiT3Captioning", **settings})


def batch(count=6):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 59, (count, 8), generator=generator)
    length = torch.arange(count) % 5 + 4
    place = torch.arange(8)
    tokens[:, 0] = 0
    tokens[place == length[:, None] - 1] = EOS
    padding = place >= length[:, None]
    tokens[padding] = 1
    # Images of one colour a patch: noise of single pixels would look the same everywhere.
    image = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)
    image = image.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    return {"image": image, "tokens": tokens, "padding_mask": padding}


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
    # Every place alike, </s> as well.
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


@pytest.mark.parametrize("iteration", [9, 10])
def test_losses_of_a_batch(monkeypatch, iteration):
    """Step by step, with a mask that is known."""
    model, inputs = small(drop_worst_after=10).eval(), batch()
    MessageHub.get_instance(f"captioning-{iteration}").update_info("iter", iteration)
    chosen = torch.zeros_like(inputs["padding_mask"])
    chosen[:, 2] = chosen[::2, 3] = True
    tokens = inputs["tokens"].masked_fill(chosen, 59)
    monkeypatch.setattr(captioning, "mask_captions", lambda *given: (tokens, chosen))
    with torch.no_grad():
        found = model(inputs, [{}] * 6, mode="loss")
    image = (inputs["image"] / 255 - 0.5) / 0.5
    losses, right = [], []
    for row, place in chosen.nonzero().tolist():
        logits = model.network.logits(image[row : row + 1], tokens[row : row + 1])[0, place]
        word = int(inputs["tokens"][row, place])
        log_probs = logits.log_softmax(dim=0).tolist()
        shares = [0.9 if other == word else 0.1 / 59 for other in range(60)]
        losses.append(sum(share * (math.log(share) - p) for share, p in zip(shares, log_probs, strict=True)))
        right.append(max(range(60), key=log_probs.__getitem__) == word)
    kept = sorted(losses)[: int(len(losses) * 0.8)] if iteration == 10 else losses
    assert float(found["loss_caption"]) == pytest.approx(sum(kept) / len(kept), rel=1e-4)
    assert float(found["accuracy"]) == pytest.approx(sum(right) / len(right))


def test_worst_are_dropped_from_the_same_iteration_after_a_resume(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(captioning, "keep_best", lambda losses, ratio: calls.append(1) or losses)

    def run(name, iterations, **options):
        inputs = batch(2)
        data = [{"inputs": {k: v[i] for k, v in inputs.items()}, "data_samples": {}} for i in range(2)]
        Runner(
            small(drop_worst_after=3),
            str(tmp_path),
            train_dataloader={
                "batch_size": 2,
                "dataset": data,
                "sampler": {"type": "InfiniteSampler"},
                "collate_fn": {"type": "default_collate"},
            },
            train_cfg={"by_epoch": False, "max_iters": iterations},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 1e-3}},
            default_hooks={"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 2}},
            experiment_name=name,
            log_level="ERROR",
            **options,
        ).train()

    run("captioning-first", 2)
    assert not calls
    run("captioning-second", 5, resume=True, load_from=str(tmp_path / "iter_2.pth"))
    assert len(calls) == 2


@pytest.mark.parametrize("changes", [{}, {"attention": "shared", "num_fusion_layers": 1}])
def test_all_that_is_trained_has_a_gradient(changes):
    model = small(network={"arch": {**SMALL, **changes}}).train()
    model(batch(), [{}] * 6, mode="loss")["loss_caption"].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_head_sees_what_is_masked_alone():
    model, inputs = small(mask_ratio=0.5), batch()
    rows = []
    model.network.mlm_head.register_forward_hook(lambda module, given, output: rows.append(given[0].shape))
    model(inputs, [{}] * 6, mode="loss")
    lengths = (~inputs["padding_mask"]).sum(dim=1).tolist()
    assert rows == [(sum(int(n * 0.5 + 0.5) for n in lengths), SMALL["embed_dims"])]


def test_learns_to_caption():
    """After some steps a model says its few captions by heart, each way to decode."""
    model, inputs = small(drop_worst_after=10**9).train(), batch()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    losses = []
    for _ in range(120):
        loss = model(inputs, [{}] * 6, mode="loss")["loss_caption"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
    model.eval()
    expected = [[word for word in row if word != 1] for row in inputs["tokens"].tolist()]
    samples = [{"image_id": number} for number in range(6)]
    for decoding in ("beam", "greedy", "top_p"):
        same = small(decoding=decoding, top_p=0.5).eval()
        same.load_state_dict(model.state_dict())
        predicted = same({"image": inputs["image"]}, samples, mode="predict")
        assert [sample["pred_tokens"] for sample in predicted] == expected, decoding
        assert [sample["image_id"] for sample in predicted] == list(range(6))
    assert "pred_tokens" not in samples[0]
    assert "pred_caption" not in predicted[0]


def test_greedy_is_one_beam_and_batches_change_nothing():
    inputs = batch()
    torch.manual_seed(7)
    model = small(decoding="greedy").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    one = small(num_beams=1).eval()
    one.load_state_dict(model.state_dict())
    found = model.generate(inputs["image"])
    assert found == one.generate(inputs["image"])
    assert found == [caption for image in inputs["image"].split(1) for caption in model.generate(image)]
    assert len({tuple(ids) for ids in found}) > 1


def spread(model):
    """Away from initial values, by which towers say nearly the same of everything."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@torch.no_grad()
def every_caption(model, image, max_length, min_length):
    """All texts of the six words there are, with their scores, each run by itself as a whole, best first."""
    found = []
    for count in range(min_length, max_length - 2):
        texts = torch.tensor([[0, *words] for words in product([0, 1, 3, 4, 5], repeat=count)])
        total = torch.zeros(len(texts))
        for place in range(1, count + 2):
            tokens = torch.cat([texts[:, :place], torch.full((len(texts), 1), model.mask_id)], dim=1)
            log_probs = model.network.logits(image.expand(len(texts), -1, -1, -1), tokens)[:, -1].log_softmax(dim=1)
            if place <= count:
                total += log_probs.gather(1, texts[:, place : place + 1])[:, 0]
            else:
                total += log_probs.amax(dim=1) if count == max_length - 3 else log_probs[:, EOS]
        scores = total / (count + 2) ** model.length_penalty
        found += [([*text, EOS], score) for text, score in zip(texts.tolist(), scores.tolist(), strict=True)]
    return sorted(found, key=lambda pair: -pair[1])


@pytest.mark.parametrize("min_length", [0, 2])
def test_the_best_captions_are_those_of_all_there_are(min_length):
    """130 beams are more than there are texts of up to three of five words."""
    model = spread(small(network={"arch": {**SMALL, "vocab_size": 6}}, mask_id=5, max_length=6, num_beams=130))
    inputs = batch(2)["image"]
    predicted = model({"image": inputs}, [{}] * 2, mode="predict")
    several = model.predict({"image": inputs}, [{"image_id": 4}, {}], min_length, num_captions=7)
    assert several[0]["image_id"] == 4
    for sample, row in zip(several, range(2), strict=True):
        image = (inputs[row : row + 1] / 255 - 0.5) / 0.5
        expected = every_caption(model, image, 6, min_length)[:7]
        found = sample["pred_captions"]
        assert [each["tokens"] for each in found] == [ids for ids, _ in expected]
        assert [each["score"] for each in found] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert sample["pred_tokens"] == found[0]["tokens"]
        if not min_length:
            assert predicted[row] == {"pred_tokens": found[0]["tokens"]}


def test_what_the_model_is_told_holds_unless_a_call_says_otherwise():
    model = spread(small(min_length=5, num_captions=3))
    image = batch(3)["image"]
    told = model.predict({"image": image}, [{}] * 3)
    assert [len(sample["pred_captions"]) for sample in told] == [3] * 3
    assert told == model.predict({"image": image}, [{}] * 3, min_length=5, num_captions=3)
    assert all(len(each["tokens"]) >= 7 for sample in told for each in sample["pred_captions"])
    assert [sample["pred_tokens"] for sample in told] == model.generate(image)
    assert all("pred_captions" not in sample for sample in model.predict({"image": image}, [{}] * 3, num_captions=1))
    drawn = spread(small(decoding="top_p")).generate(image, torch.Generator().manual_seed(0), min_length=9)
    assert [len(ids) for ids in drawn] == [11] * 3


def test_captions_are_texts(tmp_path):
    pytest.importorskip("sentencepiece")
    path = train_text_tokenizer(["a red circle", "a blue square above a red circle"] * 9, tmp_path / "small.spm", 20)
    model = small(tokenizer=str(path), mask_id=None).eval()
    assert model.mask_id == 21
    tokenizer = model.tokenizer
    model.generate = lambda image, **given: [[0, *tokenizer.encode("a red square"), 2], [0, 2]]
    predicted = model({"image": batch(2)["image"]}, [{"image_id": 1}, {"image_id": 2}], mode="predict")
    assert [sample["pred_caption"] for sample in predicted] == ["a red square", ""]
    with pytest.raises(UserError, match=r"mask_id is 59, but that of tokenizer '.*small\.spm' is 21"):
        small(tokenizer=str(path))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mask_id": None}, "mask token is 64001, but the network has words 0 to 59"),
        ({"decoding": "best"}, "one of beam, greedy, top_p, got 'best'"),
        ({"max_length": 64}, "from 4 to 63 with this network, got 64"),
        ({"num_beams": 0}, "num_beams must be at least 1"),
        ({"top_p": 0.0}, "top_p above 0"),
        ({"min_length": 10}, "min_length must be a whole number from 0 to 9 with max_length 12, got 10"),
        ({"min_length": -1}, "min_length must be a whole number from 0 to 9"),
        ({"num_captions": 4}, r"num_captions must be a whole number from 1 to 3 \(num_beams is 3\), got 4"),
        ({"num_captions": 0}, "from 1 to 3"),
        ({"num_captions": 2, "decoding": "greedy"}, r"from 1 to 1 \(decoding is 'greedy', not 'beam'\), got 2"),
        ({"mask_ratio": 1.2}, "mask_ratio must be from 0 to below 1, got 1.2"),
    ],
)
def test_bad_settings(changes, reason):
    with pytest.raises(UserError, match=reason):
        small(**changes)


def test_outputs_are_logits():
    model, inputs = small().eval(), batch()
    with torch.no_grad():
        logits = model(inputs)
        image = (inputs["image"].float() / 255 - 0.5) / 0.5
        expected = partial(model.network.logits, image)(inputs["tokens"], inputs["padding_mask"])
    torch.testing.assert_close(logits, expected)
    assert isinstance(model, BEiT3Captioning)
    assert logits.shape == (6, 8, 60)
