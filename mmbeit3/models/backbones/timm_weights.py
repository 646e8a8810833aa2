"""Files of weights for timm's ViTs: by timm's names, their authors' or transformers', made for any image and patch size."""

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

_MATTERS = re.compile(
    r"(?:blocks|patch_embed|norm_pre|rope|embeddings|pre_layrnorm)\.|(?:encoder\.|model\.)?layers?\.\d"
    r"|(?:(?:cls|reg|dist)_token|register_tokens|pos_embed)$"
)
"""Names of what a ViT computes its tokens by; anything else of a file may go unused."""

_PREFIX = {"cls_token": "class", "dist_token": "distillation", "reg_token": "register"}


def read_weights(
    model: VisionTransformer | Eva,
    name: str,
    state: Mapping[str, Tensor],
    source: str,
    source_grid: Sequence[int] | Tensor | None = None,
) -> Translated:
    """Fit a file's tensors to a model of timm's.

    Args:
        model: the model, without its head.
        name: timm's name of it.
        state: the file's tensors, under any names that timm or :mod:`mmbeit3.checkpoint.vit_layouts` knows.
        source: the file, for messages.
        source_grid: (h, w) of the file's position table, if known.

    Returns:
        The tensors by the model's names and in its sizes, all of them.

    Raises:
        UserError: if the file is of another model: if it lacks a weight, or has one that the model does not know and that would
            change its tokens.
    """
    found = find_vit(state)
    tensors = found.tensors
    _check_periods(model, name, tensors, source)
    kernel = next((tensor for key, tensor in tensors.items() if key.endswith("patch_embed.proj.weight")), None)
    before = set(tensors)
    try:
        tensors = _split_biases(tensors) if isinstance(model, Eva) else _fold_position(tensors)
        tensors = _by_timm(model, name, tensors, kernel)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"checkpoint {source} is damaged or not of timm's '{name}' ({one_line(error)})") from error
    layout = found.layout
    if layout in ("timm", "native"):
        layout = "timm" if before - {"mask_token"} <= tensors.keys() else "original"
    target = model.state_dict()
    tensors = _move_norm(tensors, target)
    if not tensors.keys() & target.keys():
        raise UserError(
            f"checkpoint {source} has nothing for timm's '{name}': its names start like {list_names(list(state))}, timm's like "
            f"{list_names(list(target))}"
        )
    unused = [key for key in tensors if key not in target]
    # A batch norm's counter is of no consequence where its statistics are there.
    missing = [key for key in target if key not in tensors and not key.endswith("num_batches_tracked")]
    if 2 * len(missing) < len(target):
        _check_prefix(model, name, tensors, source)
    strange = [key for key in unused if _MATTERS.match(key) and not _is_no_bias(key, tensors[key])]
    if missing or strange:
        lacks = f"lacks {list_names(missing)}" if missing else ""
        more = f"has {list_names(strange)} besides" if strange else ""
        raise UserError(
            f"checkpoint {source} is not of timm's '{name}': it {' and '.join(filter(None, (lacks, more)))}; choose the timm "
            "name that it was made for"
        )
    fitted, resized = _fit(model, name, {key: tensors[key] for key in target if key in tensors}, source, source_grid, kernel)
    unused += [key for key in before if key.endswith("mask_token") and key not in unused]
    return Translated(fitted, layout, resized, [*unused, *found.others])


def table_grid(model: VisionTransformer | Eva) -> tuple[int, int] | None:
    """The (h, w) of a model's position table, None where it has none."""
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
    """Resize a position table for a model as timm does, but by grids, where timm may go by the number of rows.

    Args:
        model: the model.
        name: timm's name of it.
        table: (1, rows, C).
        source_grid: (h, w) of the table, if known.
        patch_size: of the file, by which the grid of timm's own weights is known.

    Returns:
        The table, itself if it is of the model's grid, and in words what was done.
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
    """How timm resizes this model's weights: FlexiViT's and RADIO's otherwise than all others'."""
    bilinear = "flexi" in name or "radio" in name
    return {"mode": "bilinear", "antialias": False} if bilinear else {"mode": "bicubic", "antialias": True}


def _by_timm(model: VisionTransformer | Eva, name: str, tensors: dict[str, Tensor], kernel: Tensor | None) -> dict[str, Tensor]:
    """Names as timm translates them."""
    translate: Callable[..., dict[str, Tensor]] = eva.checkpoint_filter_fn
    options: dict[str, Any] = {}
    if not isinstance(model, Eva):
        translate, options = vision_transformer.checkpoint_filter_fn, {"adapt_layer_scale": True}
    likeness: Any = _Likeness(model, kernel)
    # Positions are resized here, by their grids.
    table = {key: tensor for key, tensor in tensors.items() if key == "pos_embed"}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in table}
    if any(key.startswith("radio_model.") for key in tensors):
        # Of RADIO's original files timm cuts the table to a model's size besides.
        likeness, options = model, {**options, "interpolation": "bilinear", "antialias": False}
    return {**translate(tensors, likeness, **options), **table}


class _Likeness:
    """A model of the file's sizes, for timm's translation to leave them as they are."""

    def __init__(self, model: VisionTransformer | Eva, kernel: Tensor | None) -> None:
        self._model = model
        # Older versions of timm ask for the table's size, whether there is one or not.
        self.pos_embed = None if hasattr(vision_transformer, "get_pretrained_grid_size") else model.pos_embed
        if kernel is not None and kernel.ndim == 4:
            self.patch_embed = SimpleNamespace(proj=SimpleNamespace(weight=kernel))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _fold_position(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINOv2 with registers: the class token has a position, which timm adds to the token."""
    if "register_tokens" not in tensors or tensors.get("pos_embed", torch.empty(0)).ndim != 3 or "cls_token" not in tensors:
        return tensors
    rest = {key: tensor for key, tensor in tensors.items() if key != "register_tokens"}
    table = tensors["pos_embed"]
    folded = {"cls_token": tensors["cls_token"] + table[:, :1], "pos_embed": table[:, 1:]}
    return {**rest, "reg_token": tensors["register_tokens"], **folded}


def _split_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """DINOv3's bias of queries, keys and values: with a mask that leaves out the keys', and in one."""
    split = {}
    for key, tensor in tensors.items():
        if key.endswith("attn.qkv.bias") and "storage_tokens" in tensors:
            mask = tensors.get(f"{key}_mask", torch.ones_like(tensor))
            # Before its weights are initialised or read, the mask is NaN.
            kept = tensor * mask if mask.isfinite().all() else tensor
            for part, bias in zip("qkv", kept.chunk(3), strict=True):
                split[key.replace("qkv.bias", f"{part}_bias")] = bias
        elif not key.endswith("attn.qkv.bias_mask"):
            split[key] = tensor
    return split


def _check_periods(model: VisionTransformer | Eva, name: str, tensors: Mapping[str, Tensor], source: str) -> None:
    """timm computes rotary periods and reads none; DINOv3's files have them, rounded to bfloat16."""
    ours = getattr(getattr(model, "rope", None), "periods", None)
    theirs = tensors.get("rope_embed.periods")
    if ours is None or theirs is None:
        return
    if theirs.shape != ours.shape or not torch.allclose(theirs.to(ours), ours, rtol=1e-2):
        raise UserError(f"checkpoint {source} is not of timm's '{name}': its rotary positions have other periods")


def _move_norm(tensors: dict[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The final norm is ``norm`` here, also where it follows the average of all patches."""
    moved = dict(tensors)
    for part in ("weight", "bias"):
        if f"norm.{part}" in target and f"norm.{part}" not in moved and f"fc_norm.{part}" in moved:
            moved[f"norm.{part}"] = moved.pop(f"fc_norm.{part}")
    return moved


def _check_prefix(model: VisionTransformer | Eva, name: str, tensors: Mapping[str, Tensor], source: str) -> None:
    theirs, ours = _prefix_tokens(tensors), _prefix_tokens(model.state_dict())
    if theirs != ours:
        raise UserError(
            f"checkpoint {source} is not of timm's '{name}': before the patches it has {theirs}, the model {ours}; choose the "
            "timm name that it was made for"
        )


def _prefix_tokens(tensors: Mapping[str, Tensor]) -> str:
    tokens = [
        f"{tensors[key].shape[1]} {word} token{'s' if tensors[key].shape[1] != 1 else ''}"
        for key, word in _PREFIX.items()
        if key in tensors and tensors[key].ndim == 3
    ]
    return ", ".join(tokens) or "no tokens"


def _is_no_bias(name: str, tensor: Tensor) -> bool:
    return name.endswith("bias") and not tensor.any()


def _fit(
    model: VisionTransformer | Eva,
    name: str,
    tensors: dict[str, Tensor],
    source: str,
    source_grid: Sequence[int] | Tensor | None,
    kernel: Tensor | None,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Resize positions, the patch kernel and the first convolution's channels; also returns what was resized, in words."""
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
                f"checkpoint {source} is not of timm's '{name}': {key} is {shape_text(tensor.shape)} there and "
                f"{shape_text(wanted)} in the model; choose the timm name that it was made for"
            )
        if tensor.shape != wanted and key != "pos_embed":
            resized[key] = f"{shape_text(tensor.shape)} to {shape_text(wanted)}"
    return tensors, {key: words for key, words in resized.items() if words}
