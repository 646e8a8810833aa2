"""The reference's form of a ViT-Adapter's parts: torchscale's BEiT-3 layers as blocks, mmcv's fallback as deformable attention.

The adapter around them is ours, since the reference's is no package, with PyTorch's own linear layers. Convolutions and norms
are the same work in both, so the comparison is about the blocks, the projections and the sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmbeit3.benchmark.networks import Network, adapter_config
from mmbeit3.benchmark.peers import torchscale_beit3
from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.models.backbones import PlainViT, ViTAdapter
from mmbeit3.models.beit3 import Arch

__all__ = ["TorchscaleViT", "reference_adapter"]


class TorchscaleViT(PlainViT):
    """torchscale's BEiT-3 over images as a plain ViT, run as its encoder runs itself.

    Args:
        arch: an architecture.
        image_size: side in pixels, the only one that it takes.

    Raises:
        Unavailable: if torchscale is missing.
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
        """Embed an image (1, 3, side, side) to tokens (1, 1 + h * w, C)."""
        tokens, _ = self.net.encoder.forward_embedding(None, self.net.vision_embed(image))
        return tokens, self.net.vision_embed.patch_shape

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run layers ``first`` to ``last - 1`` over tokens (B, 1 + h * w, C)."""
        # Its encoder makes a mask of no padding where it is given none, and its layers apply it.
        padding = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for layer in self.net.encoder.layers[first:last]:
            tokens, _ = layer(tokens, encoder_padding_mask=padding, multiway_split_position=-1)
        return tokens

    def normalize(self, tokens: Tensor) -> Tensor:
        """Return the tokens: an adapter's ViT has no final norm."""
        return tokens

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """The embedding, then each layer."""
        encoder = self.net.encoder
        return [[self.net.vision_embed, encoder.embed_positions], *([layer] for layer in encoder.layers)]


def reference_adapter(arch: Arch, side: int, weights: Mapping[str, Tensor] | None) -> Network:
    """Return the adapter in the reference's form; deformable attention is replaced by who calls it.

    Args:
        arch: an architecture.
        side: of the image.
        weights: of our adapter.

    Raises:
        Unavailable: if torchscale is missing.
    """
    module = ViTAdapter({"type": TorchscaleViT, "arch": arch, "image_size": side}, **adapter_config(arch))
    if weights is not None:
        module.load_state_dict(_theirs(weights), strict=False)
        lacking = set(weights) - set(module.state_dict()) - {name for name in weights if name.startswith("vit.")}
        if lacking:
            raise RuntimeError(f"weights of our adapter that the reference's form has no place for: {sorted(lacking)}")
    return Network(module, module, module.vit.net.vision_embed.proj.weight)


def _theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our adapter's weights with those of the ViT under torchscale's names."""
    ours = {f"vision.{name.removeprefix('vit.')}": tensor for name, tensor in weights.items() if name.startswith("vit.")}
    theirs = LAYOUTS["official"].to_theirs(ours)
    rest = {name: tensor for name, tensor in weights.items() if not name.startswith("vit.")}
    return rest | {f"vit.net.{name.removeprefix('beit3.')}": tensor for name, tensor in theirs.items()}
