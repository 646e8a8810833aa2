"""Small backbones in which every weight affects the output."""

import torch

from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter

ARCH = {"embed_dims": 24, "num_layers": 2, "num_heads": 2, "ffn_dims": 40, "image_size": 64}
SIZES = [(2, 64, 64), (1, 96, 160), (1, 70, 101), (3, 161, 33)]
"""Batch, height and width: size of the position embeddings, larger, odd sides, and others; none is used for tracing."""


def plain():
    return spread(BEiT3Vision(ARCH, out_indices=(0, 1), final_norm=True))


def windowed():
    return spread(BEiT3Vision(ARCH, window_size=3, global_indices=(1,)))


def adapter(arch=ARCH, **options):
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": arch}
    defaults = {"conv_inplane": 4, "n_points": 2, "deform_num_heads": 2, "use_extra_extractor": False, "vit_feature": "last"}
    return spread(ViTAdapter(vit, [(0, arch["num_layers"] - 1)], **{**defaults, **options}))


@torch.no_grad()
def spread(model):
    """Add noise to the weights: many initial values are 0 and would hide the factors that they multiply."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model.eval()
