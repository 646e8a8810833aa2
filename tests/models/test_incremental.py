"""Encoding word by word with a cache equals encoding the whole text, also if beams branch or images are dropped."""

import pytest
import torch

from mmbeit3.models.beit3 import BEiT3
from mmbeit3.models.beit3.incremental import IncrementalEncoder
from tests.goldens import ARCH

VARIANTS = {"released": {}, "paper": {"attention": "shared", "num_fusion_layers": 2}}
MASK, BEAMS = 299, 3


def network(**changes):
    model = BEiT3(ARCH, **changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


@torch.no_grad()
def whole(model, image, texts):
    """Return the features of a mask token after each text, texts (B, K, T)."""
    B, K, _ = texts.shape
    tokens = torch.cat([texts, torch.full((B, K, 1), MASK)], dim=2)
    out = model(image.repeat_interleave(K, dim=0), tokens.flatten(0, 1), causal_text=True).language
    return out[:, -1].unflatten(0, (B, K))


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_whole_texts(variant):
    model, image = network(**VARIANTS[variant]), torch.randn(4, 3, 64, 96)
    encoder = IncrementalEncoder(model, image, MASK, BEAMS, max_steps=9)
    texts = torch.zeros(4, BEAMS, 1, dtype=torch.long)
    beams = None
    for step in range(9):
        torch.testing.assert_close(
            encoder.step(texts[:, :, -1], beams), whole(model, image, texts), atol=1e-5, rtol=1e-5, msg=f"step {step}"
        )
        beams = torch.randint(BEAMS, (len(image), BEAMS))
        texts = torch.cat(
            [texts.gather(1, beams.unsqueeze(-1).expand_as(texts)), torch.randint(3, 290, (*beams.shape, 1))], dim=2
        )
        if step == 4:
            left = torch.tensor([3, 0])
            image, texts, beams = image[left], texts[left], beams[left]
            encoder.keep(left)


def test_one_text_an_image():
    model, image = network(), torch.randn(2, 3, 64, 64)
    encoder = IncrementalEncoder(model, image, MASK, 1, max_steps=3)
    texts = torch.tensor([[[0, 5, 9]], [[0, 7, 7]]])
    for length in range(1, 4):
        features = encoder.step(texts[:, :, length - 1])
        torch.testing.assert_close(features, whole(model, image, texts[:, :, :length]), atol=1e-5, rtol=1e-5)


def test_images_are_encoded_once_for_all_beams():
    model = network()
    rows = []
    model.vision.layers[0].ffn.fc1.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[:2]))
    encoder = IncrementalEncoder(model, torch.randn(2, 3, 64, 64), MASK, BEAMS, max_steps=4)
    for _ in range(4):
        encoder.step(torch.zeros(2, BEAMS, dtype=torch.long))
    assert rows == [(2, 17)]


def test_autocast():
    model, image = network(), torch.randn(2, 3, 64, 64)
    words = torch.zeros(2, BEAMS, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        half = IncrementalEncoder(model, image, MASK, BEAMS, max_steps=2).step(words)
    full = IncrementalEncoder(model, image, MASK, BEAMS, max_steps=2).step(words)
    torch.testing.assert_close(half.float(), full, atol=0.1, rtol=0.05)


def test_no_room():
    model, image = network(), torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="62 text positions"):
        IncrementalEncoder(model, image, MASK, 1, max_steps=62)
    encoder = IncrementalEncoder(model, image, MASK, 1, max_steps=61)
    for _ in range(61):
        encoder.step(torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="max_steps=61"):
        encoder.step(torch.zeros(1, 1, dtype=torch.long))
