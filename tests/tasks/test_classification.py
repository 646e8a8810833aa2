"""Classification: outputs of the reference from whole checkpoints, mixup and CutMix, and the losses against timm."""

import pytest
import torch
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.tasks.classification import BEiT3Classification, ClassificationNetwork
from tests.tasks.reference import SMALL, TOLERANCE, inputs, official_file, reference

NETWORK = {"arch": SMALL, "num_classes": 5}
SAMPLES = [{"gt_label": torch.tensor([i])} for i in (0, 3, 3, 4)]


@pytest.fixture
def unmixed():
    model = BEiT3Classification(NETWORK, mixup=0, cutmix=0).eval()
    torch.nn.init.normal_(model.network.head.weight, std=0.5)
    return model


def test_reference_model(tmp_path):
    expected = reference("in1k")
    network = ClassificationNetwork(expected["arch"], num_classes=expected["meta"]["classes"]).eval()
    report = load_checkpoint(network, official_file(expected["weights"], tmp_path))
    assert report.layout == "official"
    assert report.missing == []
    assert "vision.embed.mask_token" in report.unused
    assert all(name.startswith("language.") or name == "vision.embed.mask_token" for name in report.unused)
    with torch.no_grad():
        logits = network(expected["image"])
    torch.testing.assert_close(logits, expected["in1k/logits"], **TOLERANCE)
    written = LAYOUTS["official"].to_theirs(network.state_dict())
    images = {
        name: tensor
        for name, tensor in expected["weights"].items()
        if ".B." not in name and not name.endswith(("text_embed.weight", "mask_token"))
    }
    assert written.keys() == images.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in images.items())


@pytest.mark.parametrize(("arch", "millions"), [("base", 86.66), ("large", 304.57)])
def test_parameter_counts(arch, millions):
    with torch.device("meta"):
        total = sum(p.numel() for p in ClassificationNetwork(arch).parameters())
    assert round(total / 1e6, 2) == millions


def test_mean_of_patches_without_the_class_token(unmixed):
    batch = inputs(2, ("image",))
    network = unmixed.network
    tokens, grid = network.vision.embed(unmixed.normalize(batch["image"]))
    states = network.vision.run(tokens, grid, 0, SMALL["num_layers"])
    expected = network.head(network.fc_norm(states[:, 1:].mean(dim=1)))
    torch.testing.assert_close(unmixed(batch), expected)


def test_input_is_normalised_by_imagenets_statistics(unmixed):
    image = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(unmixed.normalize(image)[0, :, 0, 0], expected)


def test_smoothed_labels_without_mixing(unmixed):
    batch = inputs(4, ("image",))
    with torch.no_grad():
        found, logits = unmixed(batch, SAMPLES, mode="loss"), unmixed(batch)
    labels = torch.tensor([0, 3, 3, 4])
    torch.testing.assert_close(found["loss_cls"], LabelSmoothingCrossEntropy(0.1)(logits, labels))
    assert found["accuracy"].item() == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())


@pytest.mark.parametrize("options", [{"cutmix": 0}, {"mixup": 0}, {}], ids=["mixup", "cutmix", "either"])
def test_mixed_images_have_mixed_targets(monkeypatch, options):
    model = BEiT3Classification(NETWORK, **options).eval()
    torch.nn.init.normal_(model.network.head.weight, std=0.5)
    batch = inputs(4, ("image",))
    plain = model.normalize(batch["image"])
    seen = []
    monkeypatch.setattr(model, "mix", lambda image, labels, mix=model.mix: seen.append(mix(image, labels)) or seen[-1])
    with torch.no_grad():
        found = model(batch, SAMPLES, mode="loss")
        (mixed, targets), logits = seen[0], model.network(seen[0][0])
    assert set(found) == {"loss_cls"}
    torch.testing.assert_close(found["loss_cls"], SoftTargetCrossEntropy()(logits, targets))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    # Without smoothing, the target of a class is the fraction of its image; image 0 is mixed with image 3.
    share = (targets[0, 0] - 0.1 / 5) / 0.9
    assert 0 <= share <= 1
    if "cutmix" in options:
        torch.testing.assert_close(mixed[0], share * plain[0] + (1 - share) * plain[3], atol=1e-4, rtol=0)
    if "mixup" in options:
        own, other = (mixed[0] == plain[0]).all(dim=0), (mixed[0] == plain[3]).all(dim=0)
        assert (own | other).all()
        assert own.float().mean().item() == pytest.approx(share.item(), abs=1e-5)
    torch.testing.assert_close(model.normalize(batch["image"]), plain)


def test_mixing_hangs_on_pytorchs_seed_alone():
    model = BEiT3Classification(NETWORK).eval()
    torch.nn.init.normal_(model.network.head.weight, std=0.5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model(inputs(4, ("image",)), SAMPLES, mode="loss")["loss_cls"].item())
    assert found[0] == found[1] != found[2]


def test_pairs_need_an_even_batch():
    with pytest.raises(UserError, match="an even number of images per batch, got 3: set an even batch_size and drop_last=True"):
        BEiT3Classification(NETWORK)(inputs(3, ("image",)), SAMPLES[:3], mode="loss")


def test_predictions(unmixed):
    batch = inputs(4, ("image",))
    chances = unmixed(batch).softmax(dim=1).detach()
    for i, sample in enumerate(unmixed(batch, SAMPLES, mode="predict")):
        assert sample["gt_label"] is SAMPLES[i]["gt_label"]
        assert sample["pred_label"].tolist() == [int(chances[i].argmax())]
        torch.testing.assert_close(sample["pred_score"], chances[i])


def test_checkpoint_with_other_classes(tmp_path):
    checkpoint = official_file(LAYOUTS["official"].to_theirs(ClassificationNetwork(SMALL, 1000).state_dict()), tmp_path)
    model = BEiT3Classification(NETWORK, init_cfg={"type": "Pretrained", "checkpoint": str(checkpoint)})
    with pytest.raises(UserError, match=r"another head: head\.weight has 1000 rows in the file and 5 in the model"):
        model.init_weights()


def test_labels_are_checked():
    with pytest.raises(UserError, match="gt_label 5 is outside of the model's classes 0 to 4"):
        BEiT3Classification(NETWORK)(inputs(2, ("image",)), [{"gt_label": torch.tensor([i])} for i in (1, 5)], mode="loss")
