"""Key layouts of Hugging Face's transformers for plain ViTs, as data. Here the other side of each rule has timm's names.

For DINOv2, the other side has Meta's names, which timm translates. Each family has two sets of names: those of the released
files, which transformers 5 still writes, and those of its state dicts since version 5. timm itself translates the original
files of most authors, see ``mmbeit3.TimmViT``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmbeit3.checkpoint.layouts import LAYOUTS, Layout
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.prefixes import prefixes_before, split_by_prefix
from mmbeit3.checkpoint.rules import Rule, affine, renamed_modules
from mmbeit3.errors import UserError

__all__ = ["VIT_LAYOUTS", "NamedViT", "find_vit"]

_PATCHES = "patch_embed.proj.weight"
"""Name of the patch embedding's kernel in timm and in most authors' files. It marks a ViT in a file."""

_BLOCK = "blocks.{i}"


def _embedding_rules(projection: str, tokens: Mapping[str, str]) -> Iterator[Rule]:
    """Yield the rules of the patch embedding, and of tokens and positions.

    Args:
        projection: name of the patch embedding's convolution in transformers' ``embeddings``.
        tokens: timm's names to the names in transformers' ``embeddings``.
    """
    yield from affine("", "patch_embed.proj", f"embeddings.{projection}")
    for name, foreign in tokens.items():
        yield Rule(name, (f"embeddings.{foreign}",))


# Modules of a block to their alternative names. Several names in one alternative are parts of one tensor.
_VIT_MODULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "norm1": (("norm1",), ("layernorm_before",)),
    "norm2": (("norm2",), ("layernorm_after",)),
    "attn.qkv": (
        tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
        tuple(f"attention.{part}_proj" for part in "qkv"),
    ),
    "attn.proj": (("attention.output.dense",), ("attention.o_proj",)),
    # The last two alternatives are the SwiGLU of DINOv2's giant model.
    "mlp.fc1": (("mlp.fc1",), ("intermediate.dense",), ("mlp.weights_in",), ("mlp.gate_proj", "mlp.up_proj")),
    "mlp.fc2": (("mlp.fc2",), ("output.dense",), ("mlp.weights_out",), ("mlp.down_proj",)),
}


def _vit_rules() -> Iterator[Rule]:
    """Yield the rules for ViT, DeiT, ViT-MAE, I-JEPA and DINOv2 with or without registers."""
    tokens = {"cls_token": "cls_token", "register_tokens": "register_tokens", "mask_token": "mask_token"}
    tokens |= {"dist_token": "distillation_token", "pos_embed": "position_embeddings"}
    yield from _embedding_rules("patch_embeddings.projection", tokens)
    for layer in ("encoder.layer.{i}", "layers.{i}"):
        for module, alternatives in _VIT_MODULES.items():
            for foreign in alternatives:
                yield from affine("", f"{_BLOCK}.{module}", *(f"{layer}.{name}" for name in foreign))
        for k in (1, 2):
            yield Rule(f"{_BLOCK}.ls{k}.gamma", (f"{layer}.layer_scale{k}.lambda1",))
    yield from affine("", "norm", "layernorm")


_DINOV3_MODULES = {
    "norm1": ("norm1",),
    "norm2": ("norm2",),
    "attn.proj": ("attention.o_proj",),
    "mlp.fc1_g": ("mlp.gate_proj",),
    "mlp.fc2": ("mlp.down_proj",),
}


def _dinov3_rules(gated: bool) -> Iterator[Rule]:
    """Yield the rules for DINOv3, with SwiGLU (``gated``) or with a plain MLP."""
    tokens = {"cls_token": "cls_token", "reg_token": "register_tokens", "mask_token": "mask_token"}
    yield from _embedding_rules("patch_embeddings", tokens)
    for layer in ("layer.{i}", "model.layer.{i}"):
        up = "mlp.fc1_x" if gated else "mlp.fc1"
        yield from renamed_modules(_BLOCK, layer, {**_DINOV3_MODULES, up: ("mlp.up_proj",)})
        # timm joins the weights of queries, keys and values, but not their biases.
        yield Rule(f"{_BLOCK}.attn.qkv.weight", tuple(f"{layer}.attention.{part}_proj.weight" for part in "qkv"))
        for part in "qkv":
            yield Rule(f"{_BLOCK}.attn.{part}_bias", (f"{layer}.attention.{part}_proj.bias",))
        for k in (1, 2):
            yield Rule(f"{_BLOCK}.gamma_{k}", (f"{layer}.layer_scale{k}.lambda1",))
    yield from affine("", "norm", "norm")


_CLIP_MODULES = {
    "norm1": ("layer_norm1",),
    "norm2": ("layer_norm2",),
    "attn.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.proj": ("self_attn.out_proj",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
}


def _clip_rules() -> Iterator[Rule]:
    """Yield the rules for the vision towers of SigLIP and CLIP."""
    yield Rule("cls_token", ("embeddings.class_embedding",), leading=2)
    yield Rule("pos_embed", ("embeddings.position_embedding.weight",), leading=1)
    yield from _embedding_rules("patch_embedding", {})
    # transformers spells it so.
    yield from affine("", "norm_pre", "pre_layrnorm")
    yield from renamed_modules(_BLOCK, "encoder.layers.{i}", _CLIP_MODULES)
    yield from affine("", "norm", "post_layernorm")


_DINOV3 = "embeddings.patch_embeddings.weight"

# The order matters: a gated DINOv3 also has the mark of a plain one.
VIT_LAYOUTS = (
    Layout("transformers ViT", (("embeddings.patch_embeddings.projection.weight",),), tuple(_vit_rules())),
    Layout(
        "transformers DINOv3",
        tuple((_DINOV3, f"{prefix}layer.0.mlp.gate_proj.weight") for prefix in ("", "model.")),
        tuple(_dinov3_rules(gated=True)),
    ),
    Layout("transformers DINOv3", ((_DINOV3,),), tuple(_dinov3_rules(gated=False))),
    Layout("transformers CLIP", (("embeddings.patch_embedding.weight",),), tuple(_clip_rules())),
)


@dataclass
class NamedViT:
    """A ViT found in a file.

    Attributes:
        tensors: the ViT's tensors under timm's or the author's names.
        layout: name of the layout found: ``BEiT-3``, ``timm``, a name in :data:`VIT_LAYOUTS`, or ``native`` if unknown.
        others: names in the file that are outside the ViT.
    """

    tensors: dict[str, Tensor]
    layout: str
    others: list[str]


def find_vit(state: Mapping[str, Tensor]) -> NamedViT:
    """Find a plain ViT in a file, under any prefix, and translate transformers' and BEiT-3's names.

    Raises:
        UserError: if the file has several ViTs, e.g. a student and its teacher.
    """
    if "vision.embed.proj.weight" in state:
        tower = {name: tensor for name, tensor in state.items() if name.startswith("vision.") and "mask_token" not in name}
        return NamedViT(LAYOUTS["timm"].to_theirs(tower), "BEiT-3", [name for name in state if name not in tower])
    for layout in VIT_LAYOUTS:
        for marks in layout.marks:
            prefix = _only_prefix(state, marks[0])
            if prefix is not None and all(f"{prefix}{mark}" in state for mark in marks):
                inside, outside = split_by_prefix(state, prefix)
                return NamedViT(layout.to_ours(inside), layout.name, list(outside))
    prefix = _only_prefix(state, _PATCHES)
    inside, outside = split_by_prefix(state, prefix or "")
    return NamedViT(inside, "native" if prefix is None else "timm", list(outside))


def _only_prefix(names: Iterable[str], mark: str) -> str | None:
    """Return the prefix before ``mark``, such as ``vit.model.`` in an adapter, or None if no name ends in ``mark``."""
    prefixes = prefixes_before(names, mark)
    if len(prefixes) > 1:
        found = list_names([prefix + mark for prefix in prefixes])
        raise UserError(f"the checkpoint has {len(prefixes)} ViTs ({found}). Give a file with one ViT")
    return prefixes[0] if prefixes else None
