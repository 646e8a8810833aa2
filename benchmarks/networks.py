"""Networks of mmbeit3 for the benchmarks, and forward and training steps of any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Results, Step
from benchmarks.settings import Settings
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import Arch, BEiT3
from mmbeit3.ops import switches

__all__ = [
    "Network",
    "adapter",
    "adapter_config",
    "forward_step",
    "fused",
    "make_image",
    "make_text",
    "randomise",
    "tower",
    "train_step",
]


@dataclass(frozen=True)
class Network:
    """A network of mmbeit3 or of a peer.

    Attributes:
        module: module with the weights.
        forward: computes the outputs on which contenders must agree.
        stem: weights of the patch embedding, whose gradient passes through all layers.
    """

    module: nn.Module
    forward: Callable[..., Sequence[Tensor]]
    stem: Tensor

    def compiled(self, by_block: bool = False, backend: str = "inductor") -> Network:
        """Return the same network with a compiled forward pass.

        Args:
            by_block: compile only the blocks, in place, if the module has a switch for it (mmbeit3) or ``blocks`` (timm); they
                share one compilation.
            backend: backend of ``torch.compile``. mmbeit3's blocks have only the default one.
        """
        parts = switches(self.module)
        if by_block and parts and backend == "inductor":
            for part in parts:
                part.compile_blocks = True
            return self
        blocks = getattr(self.module, "blocks", None)
        if by_block and isinstance(blocks, nn.ModuleList | nn.Sequential):
            for block in blocks:
                block.compile(backend=backend)
            return self
        return Network(self.module, torch.compile(self.forward, backend=backend), self.stem)


@torch.no_grad()
def randomise(module: nn.Module, std: float = 0.02) -> None:
    """Add noise to all weights; the same module gets the same noise.

    Without noise, an error of a peer in a weight that starts at zero (biases, gamma of the adapter) would remain hidden.

    Args:
        module: changed in place.
        std: standard deviation of the noise.
    """
    generators: dict[torch.device, torch.Generator] = {}
    for parameter in module.parameters():
        device = parameter.device
        if device not in generators:
            generators[device] = torch.Generator(device).manual_seed(0)
        parameter.add_(torch.randn(parameter.shape, generator=generators[device], device=device), alpha=std)


def make_image(side: int, device: str, batch: int = 1) -> Tensor:
    """Return images (batch, 3, side, side), always the same."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1), device="cpu").to(device)


def make_text(length: int, vocab_size: int, device: str, batch: int = 1) -> Tensor:
    """Return token ids (batch, length), always the same."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(vocab_size, (batch, length), generator=generator, device="cpu").to(device)


def tower(arch: Arch, side: int, with_cp: bool = False, device: str = "cpu") -> Network:
    """Return the vision tower without a final norm; its position table has the grid of the image.

    Args:
        arch: architecture.
        side: side of the image in pixels.
        with_cp: recompute each layer in the backward pass.
        device: device to build on; a GPU draws the weights of a large network in a fraction of a CPU's time, but other weights.
    """
    torch.manual_seed(0)
    with torch.device(device):
        module: Any = BEiT3Vision(asdict(arch), image_size=side, with_cp=with_cp)
    randomise(module)

    def forward(image: Tensor) -> list[Tensor]:
        return [features.flatten(2).transpose(1, 2) for features in module(image)]

    return Network(module, forward, module.embed.proj.weight)


def adapter_config(arch: Arch) -> dict[str, Any]:
    """Return the arguments of a ViT-Adapter for an architecture, without its ViT."""
    blocks = arch.num_layers // 4
    return {
        "interaction_indexes": [(first, first + blocks - 1) for first in range(0, 4 * blocks, blocks)],
        "deform_num_heads": arch.num_heads,
        # The benchmark runs one process, where the reference's SyncBN is a batch norm.
        "norm_cfg": {"type": "BN"},
    }


def adapter(arch: Arch, side: int, vit_cp: bool = False, adapter_cp: bool = False, device: str = "cpu") -> Network:
    """Return the ViT-Adapter around the vision tower; ``device`` as in :func:`tower`."""
    torch.manual_seed(0)
    vit = {"type": BEiT3Vision, "arch": asdict(arch), "image_size": side, "with_cp": vit_cp}
    with torch.device(device):
        module: Any = ViTAdapter(vit, with_cp=adapter_cp, **adapter_config(arch))
    randomise(module)
    return Network(module, module, module.vit.embed.proj.weight)


def fused(arch: Arch, side: int, device: str = "cpu") -> Network:
    """Return the full network over images and texts; it gives the tokens of both in one tensor (B, 1 + N + T, C)."""
    torch.manual_seed(0)
    with torch.device(device):
        module: Any = BEiT3(arch, image_size=side)
    randomise(module)

    def forward(image: Tensor, tokens: Tensor) -> list[Tensor]:
        output = module(image=image, tokens=tokens)
        return [torch.cat([output.vision, output.language], dim=1)]

    return Network(module, forward, module.vision.embed.proj.weight)


def forward_step(network: Network, inputs: Mapping[str, Tensor], settings: Settings, dtype: str) -> Step:
    """Return a step that runs the forward pass in evaluation mode without gradients.

    Args:
        network: moved to the device.
        inputs: arguments of the forward pass.
        settings: settings with the device.
        dtype: ``'float32'``, or the dtype of autocast.
    """
    network.module.to(settings.device).eval()

    def step() -> Sequence[Tensor]:
        with torch.no_grad(), _autocast(settings.device, dtype):
            return network.forward(**inputs)

    return step


def train_step(network: Network, inputs: Mapping[str, Tensor], settings: Settings, dtype: str) -> Step:
    """Return a step that runs forward and backward pass in training mode; arguments as in :func:`forward_step`.

    Contenders must agree on the outputs and on the gradient of the stem.
    """
    module = network.module.to(settings.device).train()

    def step() -> Sequence[Tensor]:
        module.zero_grad(set_to_none=True)
        with _autocast(settings.device, dtype):
            outputs = network.forward(**inputs)
            loss = torch.stack(
                [(output.float() * _loss_weights(output.shape[-1], settings.device)).sum() for output in outputs]
            ).sum()
        loss.backward()
        gradient = network.stem.grad
        assert gradient is not None
        return Results([output.detach() for output in outputs], [gradient])

    return step


def _loss_weights(length: int, device: str) -> Tensor:
    """Return the weights (length,) of a loss that is a weighted sum of the outputs, always the same.

    The sum of squares cannot be the loss: after a batch norm it does not depend on the input, so its gradient is only rounding
    error.
    """
    return torch.randn(length, generator=torch.Generator().manual_seed(4)).to(device)


def _autocast(device: str, dtype: str) -> AbstractContextManager[None]:
    kind = torch.device(device).type
    return torch.autocast(kind, getattr(torch, dtype), enabled=dtype != "float32")
