"""Read checkpoints for timm's ViTs, with timm's, the original or transformers' keys, for any image and patch size.

Three steps translate a key. For example, for DINOv2:

1. :func:`mmbeit3.checkpoint.vit_layouts.find_vit` translates transformers' keys to the original ones:
   ``embeddings.cls_token`` → ``cls_token``, ``encoder.layer.0.mlp.fc1.weight`` → ``blocks.0.mlp.fc1.weight``.
2. This module translates what timm would lose: with registers, ``pos_embed`` has a row for the class token, which is added
   to ``cls_token``; ``register_tokens`` → ``reg_token``. DINOv3's ``attn.qkv.bias`` → ``attn.{q,k,v}_bias``.
3. timm's ``checkpoint_filter_fn`` translates the rest: DINOv3's ``ls1.gamma`` → ``gamma_1``, ``storage_tokens`` →
   ``reg_token``.

Position tables, patch kernels and input channels are resized at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from timm.models import eva, vision_transformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from mmbeit3.checkpoint.naming import list_names, shape_text
from mmbeit3.checkpoint.resizing import grid_of_rows, resample_positions, resize_channels, resize_patch_kernel
from mmbeit3.checkpoint.translating import Translated
from mmbeit3.checkpoint.vit_layouts import find_vit
from mmbeit3.errors import UserError, one_line

__all__ = ["fit_positions", "read_weights", "table_grid"]

_CHANGES_TOKENS = re.compile(
    r"(?:blocks|patch_embed|norm_pre|rope|embeddings|pre_layrnorm)\.|(?:encoder\.|model\.)?layers?\.\d"
    r"|(?:(?:cls|reg|dist)_token|register_tokens|pos_embed)$"
)
"""Regex for keys that change a ViT's tokens. All other keys of a checkpoint, such as heads and decoders, may be left unused."""

_PREFIX_TOKENS = {"cls_token": "class", "dist_token": "distillation", "reg_token": "register"}


def read_weights(
    model: VisionTransformer | Eva,
    name: str,
    state: Mapping[str, Tensor],
    source: str,
    source_grid: Sequence[int] | Tensor | None = None,
) -> Translated:
    """Translate a checkpoint to the keys and sizes of a timm model.

    Args:
        model: the model, without its head.
        name: timm's name of the model.
        state: the checkpoint's tensors, with any keys that timm or :mod:`mmbeit3.checkpoint.vit_layouts` supports.
        source: the file, for messages.
        source_grid: (h, w) of the checkpoint's position table, if known.

    Returns:
        Tensors for all of the model's keys.

    Raises:
        UserError: if the checkpoint belongs to another model: if it lacks a weight, or has one that is not in the model and
            would change its tokens.
    """
    found = find_vit(state)
    tensors = found.tensors
    _check_periods(model, name, tensors, source)
    kernel = next((tensor for key, tensor in tensors.items() if key.endswith("patch_embed.proj.weight")), None)
    before = set(tensors)
    try:
        tensors = _split_biases(tensors) if isinstance(model, Eva) else _fold_position(tensors)
        tensors = _apply_timm_filter(model, tensors, kernel)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"checkpoint {source} is damaged or does not belong to timm's '{name}' ({one_line(error)}): download it again, or "
            "choose the timm model that it was trained with"
        ) from error
    layout = found.layout
    if layout in ("timm", "native"):
        layout = "timm" if before - {"mask_token"} <= tensors.keys() else "original"
    target = model.state_dict()
    tensors = _move_norm(tensors, target)
    if not tensors.keys() & target.keys():
        raise UserError(
            f"checkpoint {source} contains no weights of timm's '{name}': its keys are {list_names(list(state))}, but timm's "
            f"are {list_names(list(target))}"
        )
    unused = [key for key in tensors if key not in target]
    # A batch norm does not need its counter.
    missing = [key for key in target if key not in tensors and not key.endswith("num_batches_tracked")]
    # If most weights match, different prefix tokens are the best explanation of the rest.
    if 2 * len(missing) < len(target):
        _check_prefix_tokens(model, name, tensors, source)
    unknown = [key for key in unused if _CHANGES_TOKENS.match(key) and not _is_zero_bias(key, tensors[key])]
    if missing or unknown:
        lacks = f"lacks {list_names(missing)}" if missing else ""
        more = f"has {list_names(unknown)}, unknown to this model" if unknown else ""
        raise UserError(
            f"checkpoint {source} does not belong to timm's '{name}': it {' and '.join(filter(None, (lacks, more)))}; choose "
            "the timm model that it was trained with"
        )
    fitted, resized = _fit(model, name, {key: tensors[key] for key in target if key in tensors}, source, source_grid, kernel)
    unused += [key for key in before if key.endswith("mask_token") and key not in unused]
    return Translated(fitted, layout, resized, [*unused, *found.others])


def table_grid(model: VisionTransformer | Eva) -> tuple[int, int] | None:
    """Return the (h, w) of a model's position table, or None if it has no table."""
    if model.pos_embed is None:
        return None
    h, w = model.patch_embed.grid_size
    return int(h), int(w)


def fit_positions(
    model: VisionTransformer | Eva,
    name: str,
    table: Tensor,
    source_grid: Sequence[int] | Tensor | None = None,
    patch_size: Sequence[int] | None = None,
) -> tuple[Tensor, str]:
    """Resize a position table to a model's grid as timm does.

    timm may compare only the number of rows; this function compares the grids, so 2x8 patches are not taken for 4x4.

    Args:
        model: the model.
        name: timm's name of the model.
        table: (1, rows, C).
        source_grid: (h, w) of the table, if known.
        patch_size: (height, width) of the checkpoint's patches, in pixels or cells of the stem's map, from which the grid of
            timm's weights is computed. Default the model's.

    Returns:
        The table, unchanged if it already has the model's grid, and a description of the change or an empty string.
    """
    grid = table_grid(model)
    assert grid is not None
    prefix = 0 if model.no_embed_class else model.num_prefix_tokens
    height, width = cast(Sequence[int], model.patch_embed.feat_ratio(as_scalar=False)) if patch_size is None else patch_size
    _, *size = cast(Mapping[str, Any], model.pretrained_cfg)["input_size"]
    native = (size[0] // height, size[1] // width)
    old = grid_of_rows(table.shape[1], prefix, source_grid, native)
    if old == grid:
        return table, ""
    aligned = any(part in name for part in getattr(vision_transformer, "_RADIO_ALIGN_CORNERS", ()))
    resized = resample_positions(table, old, grid, prefix, align_corners=True if aligned else None, **_interpolation(name))
    return resized, f"{old[0]}x{old[1]} patches to {grid[0]}x{grid[1]}"


def _interpolation(name: str) -> dict[str, Any]:
    """Return timm's options for resizing this model's weights. FlexiViT and RADIO differ from all other models."""
    bilinear = "flexi" in name or "radio" in name
    return {"mode": "bilinear", "antialias": False} if bilinear else {"mode": "bicubic", "antialias": True}


def _apply_timm_filter(model: VisionTransformer | Eva, tensors: dict[str, Tensor], kernel: Tensor | None) -> dict[str, Tensor]:
    """Translate keys with timm's ``checkpoint_filter_fn``, without its resizing."""
    translate: Callable[..., dict[str, Tensor]] = eva.checkpoint_filter_fn
    options: dict[str, Any] = {}
    if not isinstance(model, Eva):
        translate, options = vision_transformer.checkpoint_filter_fn, {"adapt_layer_scale": True}
    target: Any = _ModelWithKernel(model, kernel)
    # timm would resize the position table by its number of rows; fit_positions resizes it by its grid.
    table = {key: tensor for key, tensor in tensors.items() if key == "pos_embed"}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in table}
    if any(key.startswith("radio_model.") for key in tensors):
        # timm also crops the position table of RADIO's original files to the model's size, so it needs the real model.
        target, options = model, {**options, "interpolation": "bilinear", "antialias": False}
    return {**translate(tensors, target, **options), **table}


class _ModelWithKernel:
    """A proxy for a model with the checkpoint's patch kernel, so that timm's filter does not resize the weights."""

    def __init__(self, model: VisionTransformer | Eva, kernel: Tensor | None) -> None:
        self._model = model
        # Older versions of timm read the table's size even if the checkpoint has no table.
        self.pos_embed = None if hasattr(vision_transformer, "get_pretrained_grid_size") else model.pos_embed
        if kernel is not None and kernel.ndim == 4:
            self.patch_embed = SimpleNamespace(proj=SimpleNamespace(weight=kernel))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _fold_position(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate DINOv2 with registers: the class token has a position, which timm stores as part of the token."""
    if "register_tokens" not in tensors or tensors.get("pos_embed", torch.empty(0)).ndim != 3 or "cls_token" not in tensors:
        return tensors
    rest = {key: tensor for key, tensor in tensors.items() if key != "register_tokens"}
    table = tensors["pos_embed"]
    folded = {"cls_token": tensors["cls_token"] + table[:, :1], "pos_embed": table[:, 1:]}
    return {**rest, "reg_token": tensors["register_tokens"], **folded}


def _split_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Split DINOv3's ``attn.qkv.bias`` into ``q_bias``, ``k_bias`` and ``v_bias``; its mask sets the bias of the keys to 0."""
    split = {}
    for key, tensor in tensors.items():
        if key.endswith("attn.qkv.bias") and "storage_tokens" in tensors:
            mask = tensors.get(f"{key}_mask", torch.ones_like(tensor))
            # In a model without initialised or loaded weights, the mask is NaN.
            kept = tensor * mask if mask.isfinite().all() else tensor
            for part, bias in zip("qkv", kept.chunk(3), strict=True):
                split[key.replace("qkv.bias", f"{part}_bias")] = bias
        elif not key.endswith("attn.qkv.bias_mask"):
            split[key] = tensor
    return split


def _check_periods(model: VisionTransformer | Eva, name: str, tensors: Mapping[str, Tensor], source: str) -> None:
    """Check the rotary periods of DINOv3's checkpoints, rounded to bfloat16. timm computes periods and does not load them."""
    computed = getattr(getattr(model, "rope", None), "periods", None)
    stored = tensors.get("rope_embed.periods")
    if computed is None or stored is None:
        return
    if stored.shape != computed.shape or not torch.allclose(stored.to(computed), computed, rtol=1e-2):
        raise UserError(
            f"checkpoint {source} does not belong to timm's '{name}': rope_embed.periods differs from the model's "
            "rotary periods: choose the timm model that it was trained with"
        )


def _move_norm(tensors: dict[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``fc_norm``, a final norm after the average of all patches, to ``norm``, as in the model."""
    moved = dict(tensors)
    for part in ("weight", "bias"):
        if f"norm.{part}" in target and f"norm.{part}" not in moved and f"fc_norm.{part}" in moved:
            moved[f"norm.{part}"] = moved.pop(f"fc_norm.{part}")
    return moved


def _check_prefix_tokens(model: VisionTransformer | Eva, name: str, tensors: Mapping[str, Tensor], source: str) -> None:
    found, wanted = _prefix_tokens(tensors), _prefix_tokens(model.state_dict())
    if found != wanted:
        raise UserError(
            f"checkpoint {source} does not belong to timm's '{name}': before the patches it has {found}, but the model has "
            f"{wanted}; choose the timm model that it was trained with"
        )


def _prefix_tokens(tensors: Mapping[str, Tensor]) -> str:
    """Describe the tokens before the patches, e.g. ``1 class token, 4 register tokens``."""
    tokens = [
        f"{tensors[key].shape[1]} {word} token{'s' if tensors[key].shape[1] != 1 else ''}"
        for key, word in _PREFIX_TOKENS.items()
        if key in tensors and tensors[key].ndim == 3
    ]
    return ", ".join(tokens) or "no tokens"


def _is_zero_bias(name: str, tensor: Tensor) -> bool:
    """Return True for a bias of zeros, which changes nothing (DINOv3's distilled models have them)."""
    return name.endswith("bias") and not tensor.any()


def _fit(
    model: VisionTransformer | Eva,
    name: str,
    tensors: dict[str, Tensor],
    source: str,
    source_grid: Sequence[int] | Tensor | None,
    kernel: Tensor | None,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Resize positions, the patch kernel and the first convolution's channels. Also return a description of each change."""
    target = model.state_dict()
    resized = {}
    first = f"{cast(Mapping[str, Any], model.pretrained_cfg)['first_conv']}.weight"
    for key, tensor in tensors.items():
        wanted = target[key].shape
        kernel_like = tensor.ndim == 4 and len(tensor) == wanted[0] and tensor.numel()
        if key == first and kernel_like:
            tensors[key] = resize_channels(key, tensor, wanted[1])
        if key == "patch_embed.proj.weight" and kernel_like:
            tensors[key] = resize_patch_kernel(tensors[key], wanted[2:], **_interpolation(name))
        if key == "pos_embed" and tensor.ndim == 3 and len(tensor) == 1 and tensor.shape[2] == wanted[2]:
            patch = None if kernel is None or kernel.ndim != 4 or min(kernel.shape[2:]) < 2 else kernel.shape[2:]
            tensors[key], resized[key] = fit_positions(model, name, tensor, source_grid, patch)
        if tensors[key].shape != wanted:
            raise UserError(
                f"checkpoint {source} does not belong to timm's '{name}': {key} is {shape_text(tensor.shape)} in the file and "
                f"{shape_text(wanted)} in the model; choose the timm model that it was trained with"
            )
        if tensor.shape != wanted and key != "pos_embed":
            resized[key] = f"{shape_text(tensor.shape)} to {shape_text(wanted)}"
    return tensors, {key: text for key, text in resized.items() if text}
