import math

import pytest
import timm
import torch
from torch.nn import functional as F

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.models.beit3 import BEiT3, get_arch, truncated_normal_
from tests.goldens import ARCH, golden

TOLERANCE = {"atol": 2e-4, "rtol": 0}
SMALL = {**ARCH, "num_layers": 2}


@pytest.fixture(scope="module")
def reference():
    return golden("beit3_tiny_a.npz")


@pytest.fixture(scope="module")
def loaded(reference):
    model = BEiT3(ARCH).eval()
    report = load_checkpoint(model, reference["weights"])
    assert report.missing == []
    return model


@torch.no_grad()
def test_image(reference, loaded):
    out = loaded(image=reference["encoder/image"])
    assert out.language is None
    torch.testing.assert_close(out.vision, reference["encoder/vision"], **TOLERANCE)


@torch.no_grad()
def test_text(reference, loaded):
    padding = reference["encoder/padding"].bool()
    out = loaded(tokens=reference["encoder/tokens"], padding_mask=padding)
    assert out.vision is None
    torch.testing.assert_close(out.language[~padding], reference["encoder/text"][~padding], **TOLERANCE)


@torch.no_grad()
def test_pair(reference, loaded):
    padding = reference["encoder/padding"].bool()
    out = loaded(reference["encoder/image"], reference["encoder/tokens"], padding)
    vision, text = reference["encoder/fused"].split([17, 9], dim=1)
    torch.testing.assert_close(out.vision, vision, **TOLERANCE)
    torch.testing.assert_close(out.language[~padding], text[~padding], **TOLERANCE)


@torch.no_grad()
def test_masked_patches(reference, loaded):
    out = loaded(reference["encoder/image"], masked_positions=reference["encoder/masked_positions"].bool())
    torch.testing.assert_close(out.vision, reference["encoder/masked_vision"], **TOLERANCE)


@torch.no_grad()
def test_captioning_attention(reference, loaded):
    padding = reference["encoder/padding"].bool()
    out = loaded(reference["encoder/image"], reference["encoder/tokens"], padding, causal_text=True)
    vision, text = reference["encoder/seq2seq"].split([17, 9], dim=1)
    torch.testing.assert_close(out.vision, vision, **TOLERANCE)
    torch.testing.assert_close(out.language[~padding], text[~padding], **TOLERANCE)


@pytest.mark.parametrize("size", [(224, 224), (320, 448)])
def test_equals_timm(size):
    peer = timm.create_model("beit3_base_patch16_224", num_classes=0, global_pool="", img_size=size, depth=4).eval()
    torch.nn.init.normal_(peer.pos_embed)
    ours = BEiT3Vision({"base": "base", "num_layers": 4}, image_size=size).eval()
    report = load_checkpoint(ours, peer.state_dict(), grid=(size[0] // 16, size[1] // 16))
    assert report.missing == []
    assert report.resized == {}
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        (theirs,) = peer.forward_intermediates(image, indices=[3], norm=False, intermediates_only=True)
        torch.testing.assert_close(ours(image)[0], theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arch", "changes", "count"),
    [("base", {}, 220_987_392), ("large", {}, 672_702_464), ("giant", {"attention": "shared", "num_fusion_layers": 3}, 1.9e9)],
)
def test_parameter_counts(arch, changes, count):
    with torch.device("meta"):
        total = sum(p.numel() for p in BEiT3(arch, **changes).parameters())
    assert total == count or (arch == "giant" and round(total / 1e9, 1) in (1.8, 1.9))


def test_paper_variant_shares_attention_and_fuses():
    model = BEiT3(SMALL, attention="shared", num_fusion_layers=1)
    assert model.vision.layers[0].attn is model.language.layers[0].attn
    image, tokens = torch.randn(2, 3, 64, 64), torch.randint(0, 300, (2, 5))
    model(image).vision.sum().backward()
    assert all(p.grad is None for p in model.fusion_ffns.parameters())
    model(image, tokens).language.sum().backward()
    assert all(p.grad is not None for p in model.fusion_ffns.parameters())


def test_checkpointing_changes_nothing():
    image, tokens = torch.randn(2, 3, 64, 64), torch.randint(0, 300, (2, 5))
    model = BEiT3(SMALL)
    gradients = []
    for with_cp in (False, True):
        model.vision.with_cp = model.language.with_cp = with_cp
        model.zero_grad()
        out = model(image, tokens)
        (out.vision.square().sum() + out.language.square().sum()).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "needs image"),
        ({"image": torch.zeros(2, 3, 64, 64), "tokens": torch.zeros(3, 4, dtype=torch.long)}, "each image needs one text"),
        ({"tokens": torch.zeros(1, 63, dtype=torch.long)}, "longer than the 62"),
        ({"tokens": torch.zeros(1, 4, dtype=torch.long), "padding_mask": torch.zeros(1, 4)}, "must be boolean"),
        ({"tokens": torch.zeros(1, 4, dtype=torch.long), "masked_positions": torch.zeros(1, 16).bool()}, "without an image"),
        ({"image": torch.zeros(1, 3, 64, 64), "masked_positions": torch.zeros(1, 15).bool()}, "each of 16 patches"),
    ],
)
def test_bad_inputs(inputs, reason):
    with pytest.raises(ValueError, match=reason):
        BEiT3(SMALL)(**inputs)


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("huge", "choose one of tiny, base, large, giant"),
        ({"embed_dims": 8}, "num_layers"),
        ({"base": "tiny", "widht": 3}, "unknown widht"),
        ({"base": "tiny", "num_heads": 5}, "multiple of num_heads"),
        ({"base": "tiny", "num_layers": 0}, "at least 1"),
        ({"base": "tiny", "attention": "both"}, "'decoupled' or 'shared'"),
    ],
)
def test_bad_architectures(arch, reason):
    with pytest.raises(ValueError, match=reason):
        get_arch(arch)


@pytest.mark.parametrize("attention", ["decoupled", "shared"])
def test_magneto_keeps_scales_from_layer_to_layer(attention):
    """Matrices have Xavier's scale, times sqrt(ln 16) after norms. Patches and positions have similar scales."""
    network = BEiT3("tiny", init="magneto", vocab_size=300, attention=attention, num_fusion_layers=2)
    gain = math.log(16) ** 0.5
    for layer in (*network.vision.layers, *network.language.layers):
        query, key, value = layer.attn.qkv.weight.chunk(3)
        for weight, expected in ((query, 1), (key, 1), (value, gain), (layer.attn.out.weight, gain)):
            assert weight.std().item() == pytest.approx(expected / 192**0.5, rel=0.05)
        for weight in (layer.ffn.fc1.weight, layer.ffn.fc2.weight):
            assert weight.std().item() == pytest.approx(gain * (2 / 960) ** 0.5, rel=0.05)
        assert not any(linear.bias.any() for linear in (layer.attn.qkv, layer.attn.out, layer.ffn.fc1, layer.ffn.fc2))
    patches = F.conv2d(torch.rand(2, 3, 64, 64) * 2 - 1, network.vision.embed.proj.weight, stride=16)
    assert 0.5 < patches.std().item() / network.vision.embed.positions.std().item() < 2
    with pytest.raises(ValueError, match="init must be"):
        BEiT3("tiny", init="xavier")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_truncated_normal(dtype):
    """The share of values below each bound equals the cumulative distribution function, from the error function."""
    std = 0.02
    values = truncated_normal_(torch.empty(500, 400, dtype=dtype), std).double().flatten()
    assert values.abs().max() <= std * (1.01 if dtype == torch.bfloat16 else 1)
    bounds = torch.linspace(-std, std, 21, dtype=torch.float64)
    below = (values[:, None] <= bounds).double().mean(dim=0)
    expected = (1 + torch.erf(bounds / std / 2**0.5) / torch.erf(torch.tensor(0.5**0.5, dtype=torch.float64))) / 2
    assert (below - expected).abs().max() < 0.01
