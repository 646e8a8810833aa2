"""A ViT-Adapter from the parts of its reference: torchscale's BEiT-3 layers, and mmcv's fallback for deformable attention.

The adapter around them is mmbeit3's, because the reference is not a package, but with PyTorch's linear layers. Convolutions and
norms are the same in both, so the benchmark compares the blocks, the projections and the sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import Network, adapter_config
from benchmarks.peers import torchscale_beit3
from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.checkpoint.prefixes import ADAPTER_VIT, split_by_prefix
from mmbeit3.models.backbones import PlainViT, ViTAdapter
from mmbeit3.models.beit3 import Arch

__all__ = ["TorchscaleViT", "reference_adapter"]


class TorchscaleViT(PlainViT):
    """torchscale's BEiT-3 over images as a plain ViT; the layers are called as its encoder calls them.

    Args:
        arch: architecture.
        image_size: side of the images in pixels; other sides are not supported.

    Raises:
        Unavailable: if torchscale is not installed.
    """

    def __init__(self, arch: Arch, image_size: int) -> None:
        super().__init__()
        self.net: Any = torchscale_beit3(arch, image_size, False, None)
        self.embed_dims = arch.embed_dims
        self.num_layers = arch.num_layers
        self.patch_size = arch.patch_size
        self.num_prefix_tokens = 1
        self.freeze()

    def embed_image(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images (B, 3, side, side) to tokens (B, 1 + h * w, C)."""
        tokens, _ = self.net.encoder.forward_embedding(None, self.net.vision_embed(image))
        return tokens, self.net.vision_embed.patch_shape

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run layers ``first`` to ``last - 1`` over tokens (B, 1 + h * w, C)."""
        # Without a padding mask, torchscale's encoder creates an empty one, which its layers apply.
        padding = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for layer in self.net.encoder.layers[first:last]:
            tokens, _ = layer(tokens, encoder_padding_mask=padding, multiway_split_position=-1)
        return tokens

    def normalize(self, tokens: Tensor) -> Tensor:
        """Return the tokens: an adapter's ViT has no final norm."""
        return tokens

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the embedding, then each layer."""
        encoder = self.net.encoder
        return [[self.net.vision_embed, encoder.embed_positions], *([layer] for layer in encoder.layers)]


def reference_adapter(arch: Arch, side: int, weights: Mapping[str, Tensor] | None) -> Network:
    """Return the adapter with the reference's blocks; the caller replaces deformable attention.

    Args:
        arch: architecture.
        side: side of the image in pixels.
        weights: state dict of mmbeit3's adapter.

    Raises:
        Unavailable: if torchscale is not installed.
        RuntimeError: if the adapter has no parameter for one of the weights.
    """
    module = ViTAdapter({"type": TorchscaleViT, "arch": arch, "image_size": side}, **adapter_config(arch))
    if weights is not None:
        module.load_state_dict(_to_torchscale(weights), strict=False)
        unused = set(weights) - set(module.state_dict()) - {name for name in weights if name.startswith(ADAPTER_VIT)}
        if unused:
            raise RuntimeError(f"the reference's form of the adapter has no parameters for these weights: {sorted(unused)}")
    return Network(module, module, module.vit.net.vision_embed.proj.weight)


def _to_torchscale(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of mmbeit3's adapter with torchscale's keys for the ViT."""
    vit, rest = split_by_prefix(weights, ADAPTER_VIT)
    ours = {f"vision.{name}": tensor for name, tensor in vit.items()}
    theirs = LAYOUTS["official"].to_theirs(ours)
    return rest | {f"vit.net.{name.removeprefix('beit3.')}": tensor for name, tensor in theirs.items()}
