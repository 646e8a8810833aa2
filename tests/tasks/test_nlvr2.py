"""NLVR2: outputs of the reference, the loss against a plain computation, and the order of the two images."""

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.tasks.nlvr2 import BEiT3NLVR2, NLVR2Network
from tests.tasks.reference import SMALL, TOLERANCE, inputs, official_file, reference

NAMES = ("image", "image2", "tokens")


@pytest.fixture
def model():
    model = BEiT3NLVR2({"arch": SMALL}).eval()
    for layer in (model.network.head.dense1, model.network.head.dense2):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return model


def test_reference_model(tmp_path):
    expected = reference("nlvr2")
    network = NLVR2Network(expected["arch"]).eval()
    report = load_checkpoint(network, official_file(expected["weights"], tmp_path))
    assert report.layout == "official"
    assert report.missing == report.unused == []
    with torch.no_grad():
        logits = network.logits(expected["image"], expected["image2"], expected["tokens"], expected["padding"])
    torch.testing.assert_close(logits, expected["nlvr2/logits"], **TOLERANCE)
    written = LAYOUTS["official"].to_theirs(network.state_dict())
    assert written.keys() == expected["weights"].keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected["weights"].items())


@pytest.mark.parametrize(("arch", "millions"), [("base", 225.72), ("large", 681.11)])
def test_parameter_counts(arch, millions):
    with torch.device("meta"):
        total = sum(p.numel() for p in NLVR2Network(arch).parameters())
    assert round(total / 1e6, 2) == millions


def test_one_batch_is_two_passes(model):
    batch = inputs(3, NAMES)
    network, features = model.network, []
    for name in ("image", "image2"):
        output = network(model.normalize(batch[name]), batch["tokens"], batch["padding_mask"])
        features += [output.vision[:, 0], output.language[:, 0]]
    torch.testing.assert_close(model(batch), network.head(torch.cat(features, dim=1)), atol=1e-5, rtol=1e-5)
    swapped = {**batch, "image": batch["image2"], "image2": batch["image"]}
    assert not torch.allclose(model(batch), model(swapped), atol=1e-3)


def test_loss_and_predictions(model):
    batch = inputs(4, NAMES)
    labels = [0, 1, 1, 0]
    samples = [{"identifier": str(i), "gt_label": torch.tensor([label])} for i, label in enumerate(labels)]
    with torch.no_grad():
        found, chances = model(batch, samples, mode="loss"), model(batch).softmax(dim=1)
    expected = -sum(chances[i, label].log() for i, label in enumerate(labels)) / 4
    torch.testing.assert_close(found["loss_nlvr2"], expected)
    right = sum(int(chances[i].argmax()) == label for i, label in enumerate(labels))
    assert found["accuracy"].item() == pytest.approx(right / 4)
    for i, sample in enumerate(model(batch, samples, mode="predict")):
        assert sample["identifier"] == str(i)
        assert sample["pred_label"].tolist() == [int(chances[i].argmax())]
        torch.testing.assert_close(sample["pred_score"], chances[i])


def test_predictions_start_equal():
    chances = BEiT3NLVR2({"arch": SMALL}).eval()(inputs(3, NAMES)).softmax(dim=1)
    torch.testing.assert_close(chances, torch.full((3, 2), 0.5), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"gt_label": torch.tensor([2])}, "gt_label 2 is outside of the model's classes 0 to 1"),
        ({"gt_label": torch.tensor([-1])}, "gt_label -1 is outside"),
        ({}, "no gt_label"),
    ],
)
def test_samples_without_usable_labels(model, sample, reason):
    with pytest.raises(UserError, match=reason):
        model(inputs(1, NAMES), [sample], mode="loss")
