"""The dual encoder: the reference's numbers, one pass for both modalities, keys of official checkpoints."""

import math

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.models.beit3 import BEiT3, DualEncoder
from mmbeit3.models.losses import contrastive_loss
from tests.goldens import ARCH, golden

TOLERANCE = {"atol": 2e-4, "rtol": 0}


@pytest.fixture(scope="module")
def reference():
    return golden("beit3_tasks_a.npz")


@pytest.fixture(scope="module")
def weights(reference):
    return {k.removeprefix("retrieval/weight/"): v for k, v in reference.items() if k.startswith("retrieval/weight/")}


@pytest.fixture(scope="module")
def loaded(reference, weights):
    sizes = reference["meta"]
    arch = {
        "embed_dims": sizes["dim"],
        "num_layers": sizes["depth"],
        "num_heads": sizes["heads"],
        "ffn_dims": sizes["ffn"],
        "image_size": sizes["image"],
        "vocab_size": sizes["vocab"],
        "max_text_positions": sizes["max_text_positions"],
    }
    model = DualEncoder(arch).eval()
    report = load_checkpoint(model, weights)
    assert report.layout == "official"
    assert report.missing == report.unused == []
    return model


@torch.no_grad()
def test_reference_model(reference, loaded):
    padding = reference["padding"].bool()
    images, texts = loaded.encode_image(reference["image"]), loaded.encode_text(reference["tokens"], padding)
    torch.testing.assert_close(images, reference["retrieval/vision"], **TOLERANCE)
    torch.testing.assert_close(texts, reference["retrieval/text"], **TOLERANCE)
    loss, _ = contrastive_loss(images, texts, loaded.logit_scale.exp())
    torch.testing.assert_close(loss, reference["retrieval/loss"], **TOLERANCE)
    together = loaded.features(reference["image"], reference["tokens"], padding)
    torch.testing.assert_close(together, (images, texts), atol=1e-5, rtol=0)


def test_written_as_the_official_file_is(weights, loaded):
    written = LAYOUTS["official"].to_theirs(loaded.state_dict())
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[name], weights[name]) for name in weights)


def test_half_precision_file(weights, loaded, tmp_path):
    torch.save({"model": {name: tensor.half() for name, tensor in weights.items()}}, tmp_path / "itc.pth")
    model = DualEncoder(loaded.arch)
    load_checkpoint(model, tmp_path / "itc.pth")
    assert model.logit_scale.dtype == torch.float32
    assert model.logit_scale.item() == weights["logit_scale"].half().item()


@pytest.mark.parametrize("with_cp", [False, True])
@pytest.mark.parametrize("attention", ["decoupled", "shared"])
def test_one_pass_equals_two(attention, with_cp):
    model = DualEncoder(ARCH, attention=attention, with_cp=with_cp)
    image, tokens = torch.randn(2, 3, 64, 64), torch.randint(3, 300, (3, 7))
    padding = torch.arange(7) >= torch.tensor([[7], [3], [5]])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad and name != "logit_scale"}
    assert "vision.embed.mask_token" not in trained
    weighting = torch.randn(5, 48)

    def gradients(images, texts):
        loss = (torch.cat([images, texts]) * weighting).sum()
        return dict(zip(trained, torch.autograd.grad(loss, trained.values()), strict=True))

    together, apart = model.features(image, tokens, padding), (model.encode_image(image), model.encode_text(tokens, padding))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(*together), gradients(*apart), atol=2e-5, rtol=1e-3)
    torch.testing.assert_close(torch.cat(together).norm(dim=1), torch.ones(5))


@torch.no_grad()
def test_padding_and_the_other_modality_change_nothing():
    model = DualEncoder(ARCH).eval()
    tokens = torch.randint(3, 300, (2, 5))
    longer = torch.cat([tokens, torch.full((2, 3), 1)], dim=1)
    padding = (torch.arange(8) >= 5).expand(2, -1)
    torch.testing.assert_close(model.encode_text(longer, padding), model.encode_text(tokens), atol=1e-5, rtol=0)
    image = torch.randn(2, 3, 64, 64)
    (images, _), (again, _) = model.features(image, tokens), model.features(image, longer, padding)
    torch.testing.assert_close(images, again, atol=1e-5, rtol=0)


def test_float32_under_autocast():
    model = DualEncoder(ARCH).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        images, texts = model.features(torch.randn(1, 3, 64, 64), torch.randint(3, 300, (1, 4)))
    assert images.dtype == texts.dtype == torch.float32
    torch.testing.assert_close(images.norm(), torch.tensor(1.0))


def test_starts_from_the_plain_network():
    source, model = BEiT3(ARCH), DualEncoder(ARCH)
    report = load_checkpoint(model, source.state_dict())
    assert set(report.missing) == {"vision_head.weight", "language_head.weight", "logit_scale"}
    assert report.unused == []
    assert model.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


@pytest.mark.parametrize(("arch", "millions"), [("base", 222.17), ("large", 674.80)])
def test_parameter_counts(arch, millions):
    with torch.device("meta"):
        total = sum(p.numel() for p in DualEncoder(arch).parameters())
    assert round(total / 1e6, 2) == millions


def test_fusion_layers_are_refused():
    with pytest.raises(ValueError, match="num_fusion_layers must be 0, got 1"):
        DualEncoder(ARCH, num_fusion_layers=1)
