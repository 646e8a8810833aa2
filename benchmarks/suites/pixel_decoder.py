"""Mask2Former's pixel decoder as mmdet builds it: mmbeit3's deformable attention in a module of another package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import mmbeit3.registry  # noqa: F401  (before anything of mmdet.models)
from benchmarks import peers
from benchmarks.cases import OURS, Case, Contender, Step, Unavailable
from benchmarks.forcing import with_attention
from benchmarks.networks import Network, randomise, train_step
from benchmarks.settings import Settings
from mmbeit3.ops import replace_layers

__all__ = ["pixel_decoder_case"]

_STRIDES = (4, 8, 16, 32)


def pixel_decoder_case(settings: Settings, side: int, dtype: str) -> Case:
    """Return the case of a forward and backward pass over the four feature maps of a backbone.

    Args:
        settings: device and architecture; the maps have the width of the architecture.
        side: side of the image in pixels.
        dtype: ``'float32'``, or the dtype of autocast.
    """

    def step(network: Network) -> Step:
        inputs = {"maps": _maps(settings, side)}
        return train_step(network, inputs, settings, dtype)  # type: ignore[arg-type]

    def ours(equal: bool) -> Step:
        network = _network(settings)
        # FastOpsHook does the same in training.
        replace_layers(network.module)
        return step(network)

    def theirs(equal: bool) -> Step:
        return with_attention(step(_network(settings)), peers.mmcv_fallback())

    name = f"Mask2Former's pixel decoder on {settings.arch} {side}², forward + backward"
    return Case(name, dtype, [Contender(OURS, ours), Contender("mmcv, PyTorch", theirs)])


def _network(settings: Settings) -> Network:
    """Return the decoder with the sizes of the semantic segmentation configs."""
    try:
        from mmdet.models.layers import MSDeformAttnPixelDecoder
    except ImportError as error:
        raise Unavailable(f"mmdet cannot be imported ({error}): pip install 'mmbeit3[det]'") from error
    from mmengine.config import ConfigDict

    width, layers = (64, 1) if settings.quick else (256, 6)
    attention = {"embed_dims": width, "num_heads": 8, "num_levels": 3, "num_points": 4, "dropout": 0.0, "batch_first": True}
    ffn = {"embed_dims": width, "feedforward_channels": 4 * width, "ffn_drop": 0.0}
    torch.manual_seed(0)
    module: Any = MSDeformAttnPixelDecoder(
        in_channels=[settings.sizes.embed_dims] * len(_STRIDES),
        strides=list(_STRIDES),
        feat_channels=width,
        out_channels=width,
        num_outs=3,
        norm_cfg={"type": "GN", "num_groups": 32},
        act_cfg={"type": "ReLU"},
        encoder=ConfigDict(num_layers=layers, layer_cfg={"self_attn_cfg": attention, "ffn_cfg": ffn}),
        positional_encoding={"num_feats": width // 2, "normalize": True},
    )
    module.init_weights()
    randomise(module)

    def forward(maps: Sequence[Tensor]) -> list[Tensor]:
        mask_features, features = module(list(maps))
        return [mask_features, *features]

    stem = next(layer for layer in module.input_convs.modules() if isinstance(layer, nn.Conv2d))
    return Network(module, forward, stem.weight)


def _maps(settings: Settings, side: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    width = settings.sizes.embed_dims
    maps = [torch.randn(1, width, side // stride, side // stride, generator=generator) for stride in _STRIDES]
    return [features.to(settings.device).requires_grad_() for features in maps]
