"""Captioning models: outputs of the reference, the loss of a batch, training, and the check of settings."""

import math
from functools import partial

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmbeit3.errors import UserError
from mmbeit3.tasks import captioning
from mmbeit3.tasks.captioning import BEiT3Captioning
from tests.tasks.captions import SMALL, batch, small


@pytest.mark.parametrize("iteration", [9, 10])
def test_losses_of_a_batch(monkeypatch, iteration):
    """A plain computation, word by word, with a known mask."""
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
    """After some steps the model reproduces its few captions with each decoding method."""
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mask_id": None}, "mask_id is 64001, but the network has the word ids 0 to 59"),
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
