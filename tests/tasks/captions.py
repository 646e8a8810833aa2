"""Helpers for the captioning tests: a small model and a batch."""

import torch

from mmbeit3.registry import MODELS
from tests.goldens import ARCH

SMALL = {**ARCH, "num_layers": 2, "vocab_size": 60}
EOS = 2


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
    # Each image patch has one colour: with noise per pixel all patches would have similar features.
    image = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)
    image = image.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    return {"image": image, "tokens": tokens, "padding_mask": padding}


def spread(model):
    """Add noise to the weights: the outputs of freshly initialised towers hardly depend on their input."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()
