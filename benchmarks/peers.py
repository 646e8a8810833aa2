"""Peers from PyPI; each is imported on use, and a missing one raises an error that names what to install.

None of them is a requirement. ``docs/performance.md`` lists what each is compared in and how to install it beside mmbeit3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Unavailable
from benchmarks.networks import Network
from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.models.beit3 import Arch

__all__ = [
    "DeformAttn",
    "deformops",
    "mmcv_compiled",
    "mmcv_fallback",
    "timm_tower",
    "torchscale_beit3",
    "torchscale_fused",
    "torchscale_tower",
    "transformers_fallback",
]

DeformAttn = Callable[[Tensor, list[tuple[int, int]], Tensor, Tensor], Tensor]
"""Deformable attention: a function of value, (h, w) of each level, sampling locations and attention weights; shapes as in
:func:`mmbeit3.ops.ms_deform_attn`."""

# Without --no-deps, the pins of torchscale would replace timm by a version that is years old.
_TORCHSCALE = "pip install --no-deps torchscale fairscale"


def timm_tower(arch: Arch, side: int, weights: Mapping[str, Tensor] | None) -> Network:
    """Return timm's BEiT-3 vision tower; it gives the patches (B, N, C) after the last block.

    Args:
        arch: architecture; timm's base model is built with its sizes.
        side: side of the image in pixels; the position table has its grid.
        weights: state dict of mmbeit3's vision tower.

    Raises:
        Unavailable: if the installed timm has no BEiT-3.
    """
    from timm import create_model, is_model

    if not is_model("beit3_base_patch16_224"):
        raise Unavailable(f"timm {version('timm')} has no BEiT-3: pip install 'timm>=1.0.20'")
    module: Any = create_model(
        "beit3_base_patch16_224",
        num_classes=0,
        img_size=side,
        dynamic_img_size=True,
        patch_size=arch.patch_size,
        embed_dim=arch.embed_dims,
        depth=arch.num_layers,
        num_heads=arch.num_heads,
        mlp_ratio=arch.ffn_dims / arch.embed_dims,
    )
    if weights is not None:
        _load(module, LAYOUTS["timm"].to_theirs({f"vision.{name}": tensor for name, tensor in weights.items()}), ("fc_norm.",))

    def forward(image: Tensor) -> list[Tensor]:
        return [module.forward_features(image)[:, 1:]]

    return Network(module, forward, module.patch_embed.proj.weight)


def torchscale_beit3(arch: Arch, side: int, texts: bool, weights: Mapping[str, Tensor] | None) -> nn.Module:
    """Return torchscale's BEiT-3 with the configuration of the released models.

    Args:
        arch: architecture.
        side: side of the images in pixels; other sides are not supported.
        texts: True for a model of images and texts. With False, the word embedding has one row and there is no final norm, as
            in mmbeit3's backbone.
        weights: state dict of mmbeit3's network with the prefixes ``vision.`` and ``language.``.

    Raises:
        Unavailable: if torchscale or a package that it imports is missing.
    """
    config = _torchscale("architecture.config")
    model = _torchscale("model.BEiT3")
    module = model.BEiT3(
        config.EncoderConfig(
            img_size=side,
            patch_size=arch.patch_size,
            vocab_size=arch.vocab_size if texts else 1,
            multiway=True,
            no_output_layer=True,
            normalize_output=texts,
            layernorm_embedding=False,
            max_source_positions=arch.max_text_positions,
            encoder_embed_dim=arch.embed_dims,
            encoder_attention_heads=arch.num_heads,
            encoder_ffn_embed_dim=arch.ffn_dims,
            encoder_layers=arch.num_layers,
            layernorm_eps=arch.layer_norm_eps,
        )
    )
    if weights is not None:
        theirs = LAYOUTS["official"].to_theirs(weights)
        optional = ("vision_embed.mask_token",) if texts else ("vision_embed.mask_token", "text_embed.", ".B.")
        _load(module, {name.removeprefix("beit3."): tensor for name, tensor in theirs.items()}, optional)
    return module


def torchscale_tower(arch: Arch, side: int, weights: Mapping[str, Tensor] | None) -> Network:
    """Return torchscale's BEiT-3 for images only; it gives the patches (B, N, C) after the last block.

    Args:
        arch: architecture.
        side: side of the image in pixels.
        weights: state dict of mmbeit3's vision tower.

    Raises:
        Unavailable: see :func:`torchscale_beit3`.
    """
    full = None if weights is None else {f"vision.{name}": tensor for name, tensor in weights.items()}
    module: Any = torchscale_beit3(arch, side, False, full)

    def forward(image: Tensor) -> list[Tensor]:
        return [module(visual_tokens=image)["encoder_out"][:, 1:]]

    return Network(module, forward, module.vision_embed.proj.weight)


def torchscale_fused(arch: Arch, side: int, weights: Mapping[str, Tensor] | None) -> Network:
    """Return torchscale's BEiT-3 for images and texts; it gives all tokens (B, 1 + N + T, C) after the final norm.

    Arguments and errors are those of :func:`torchscale_tower`, but ``weights`` is the state dict of mmbeit3's full network.
    """
    module: Any = torchscale_beit3(arch, side, True, weights)

    def forward(image: Tensor, tokens: Tensor) -> list[Tensor]:
        return [module(visual_tokens=image, textual_tokens=tokens)["encoder_out"]]

    return Network(module, forward, module.vision_embed.proj.weight)


def mmcv_fallback() -> DeformAttn:
    """Return mmcv's deformable attention in plain PyTorch.

    ``mmbeit3.registry`` replaces it by a wrapper; this function returns the wrapped original.

    Raises:
        Unavailable: if mmcv is not installed.
    """
    try:
        from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch as function
    except ImportError as error:
        raise Unavailable(f"mmcv cannot be imported ({error}): pip install 'mmbeit3[det]'") from error
    return getattr(function, "__wrapped__", function)


def mmcv_compiled(device: str) -> DeformAttn:
    """Return mmcv's compiled operator for GPUs, through its own autograd function, in float32: it has no bfloat16.

    Raises:
        Unavailable: on a CPU, or if mmcv has no compiled operators.
    """
    from mmbeit3.ops import mmcv_ext

    if torch.device(device).type != "cuda":
        raise Unavailable("mmcv's compiled operator runs on GPUs only")
    if not mmcv_ext.is_compiled():
        raise Unavailable(
            "the installed mmcv has no compiled operators: pip install --no-build-isolation --no-deps --no-binary :all: "
            "onedl-mmcv with an installed CUDA toolkit, or install a wheel built for this torch"
        )
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    def call(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
        sizes, starts = _levels(shapes, value.device)
        output = MultiScaleDeformableAttnFunction.apply(value.float(), sizes, starts, locations, weights, 64)
        return output.to(value.dtype)

    return call


def deformops() -> DeformAttn:
    """Return the deformable attention of the package deformops, with the kernel that it chooses, in float32.

    It takes locations in the dtype of the values only. In bfloat16, they would be wrong by up to an eighth of a cell on a map
    of 64 cells.

    Raises:
        Unavailable: if deformops is not installed.
    """
    try:
        from deformops.registry import msda
    except ImportError as error:
        raise Unavailable(f"deformops cannot be imported ({error}): pip install deformops (Python 3.12 or newer)") from error

    def call(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
        sizes, starts = _levels(shapes, value.device)
        return msda(value.float(), sizes, starts, locations.float(), weights.float()).to(value.dtype)

    return call


def transformers_fallback() -> DeformAttn:
    """Return the deformable attention of transformers' Deformable DETR, in plain PyTorch.

    Raises:
        Unavailable: if transformers is not installed, or its code is organised differently from versions 4 and 5.
    """
    name = "transformers.models.deformable_detr.modeling_deformable_detr"
    try:
        module = import_module(name)
    except ImportError as error:
        raise Unavailable(f"transformers cannot be imported ({error}): pip install transformers") from error
    if hasattr(module, "multi_scale_deformable_attention"):
        return module.multi_scale_deformable_attention
    if not hasattr(module, "MultiScaleDeformableAttention"):
        raise Unavailable(f"transformers {version('transformers')} keeps its deformable attention elsewhere: try 5.24")
    layer = module.MultiScaleDeformableAttention()

    def call(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
        sizes, starts = _levels(shapes, value.device)
        return layer(value, sizes, shapes, starts, locations, weights, 64)

    return call


def _torchscale(name: str) -> ModuleType:
    try:
        with warnings.catch_warnings():
            # torchscale imports timm by deprecated names.
            warnings.simplefilter("ignore")
            return import_module(f"torchscale.{name}")
    except ImportError as error:
        raise Unavailable(f"torchscale cannot be imported ({error}): {_TORCHSCALE}") from error


def _levels(shapes: list[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (h, w) of each level, (L, 2), and the index of its first cell, (L,)."""
    sizes = torch.tensor(shapes, dtype=torch.long)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(dim=1).cumsum(0)[:-1]])
    return sizes.to(device), starts.to(device)


def _load(module: nn.Module, weights: Mapping[str, Tensor], optional: tuple[str, ...]) -> None:
    """Load a state dict strictly, but keys that contain a part in ``optional`` may be missing."""
    missing, unused = module.load_state_dict(dict(weights), strict=False)
    missing = [name for name in missing if not any(part in name for part in optional)]
    if missing or unused:
        raise RuntimeError(f"mmbeit3's weights do not fit {type(module).__name__}: missing {missing}, unused {unused}")
