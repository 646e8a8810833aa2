"""Tables of key rules, one function per layout. A rule maps a name in mmbeit3 to names in another layout.

Example, from :func:`official_rules`: the rule ::

    Rule("vision.layers.{i}.attn.qkv.weight",
         ("encoder.layers.{i}.self_attn.q_proj.A.weight", "….k_proj.A.weight", "….v_proj.A.weight"), "3C C")

joins three tensors of shape (C, C), for each layer ``i``, to one of shape (3C, C), and splits it again on the way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbeit3.checkpoint.prefixes import ADAPTER_VIT, BACKBONE_OR_BARE, TIMM_MODEL

__all__ = ["Rule", "affine", "official_rules", "renamed_modules", "timm_rules", "vit_adapter_rules"]


@dataclass(frozen=True)
class Rule:
    """One tensor in mmbeit3 and its counterparts in another layout.

    Attributes:
        name: name in mmbeit3; ``{i}`` stands for the index of a layer.
        foreign: names in the other layout. Several tensors are concatenated along the first axis.
        shape: shape in mmbeit3, one word per axis, or empty to skip the check. A word is a number, a letter or a multiple such
            as ``3C``. A letter has the same value in the whole file: C width, F width of the FFN, P and T positions of patches
            and words, V vocabulary, p patch side, I image channels.
        drop_rows: number of first rows that the other layout lacks. They are zeros after reading.
        batch_dim: True if the other layout has a leading axis of size 1.
        scalar: True if the other layout has a scalar where mmbeit3 has one axis of size 1.
        leading: number of leading axes of size 1 that the other layout lacks.
        outside: True if the other layout's prefix does not precede the name.
    """

    name: str
    foreign: tuple[str, ...]
    shape: str = ""
    drop_rows: int = 0
    batch_dim: bool = False
    scalar: bool = False
    leading: int = 0
    outside: bool = False

    def to_ours(self, parts: list[Tensor]) -> Tensor:
        """Join the other layout's tensors to the tensor in mmbeit3."""
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.scalar:
            tensor = tensor.reshape(1)
        if self.batch_dim:
            tensor = tensor.squeeze(0)
        if self.leading:
            tensor = tensor.reshape(*(1,) * self.leading, *tensor.shape)
        if self.drop_rows:
            tensor = torch.cat([tensor.new_zeros(self.drop_rows, *tensor.shape[1:]), tensor])
        return tensor

    def to_theirs(self, tensor: Tensor) -> list[Tensor]:
        """Split the tensor in mmbeit3 into the other layout's tensors."""
        if self.scalar:
            return [tensor.reshape(())]
        if self.leading:
            tensor = tensor.reshape(tensor.shape[self.leading :])
        tensor = tensor[self.drop_rows :]
        if self.batch_dim:
            tensor = tensor.unsqueeze(0)
        return list(tensor.chunk(len(self.foreign)))


def affine(shape: str, name: str, *foreign: str) -> Iterator[Rule]:
    """Yield the rules of a module's weight and bias. The bias has the weight's first axis."""
    yield Rule(f"{name}.weight", tuple(f"{other}.weight" for other in foreign), shape)
    yield Rule(f"{name}.bias", tuple(f"{other}.bias" for other in foreign), shape.split()[0] if shape else "")


def renamed_modules(
    name: str, foreign: str, modules: Mapping[str, tuple[str, ...]], shapes: Mapping[str, str] | None = None
) -> Iterator[Rule]:
    """Yield the rules of all modules of a layer, see :func:`affine`.

    Args:
        name: the layer in mmbeit3, e.g. ``vision.layers.{i}``.
        foreign: the layer in the other layout.
        modules: names of modules in the layer to their names in the other layout's layer.
        shapes: shapes of the modules' weights, see :class:`Rule`. Default: no check.
    """
    for module, others in modules.items():
        yield from affine((shapes or {}).get(module, ""), f"{name}.{module}", *(f"{foreign}.{other}" for other in others))


# Modules of a BEiT-3 layer with the shapes of their weights.
_LAYER = {
    "attn.norm": "C",
    "attn.qkv": "3C C",
    "attn.inner_norm": "C",
    "attn.out": "C C",
    "ffn.norm": "C",
    "ffn.fc1": "F C",
    "ffn.inner_norm": "F",
    "ffn.fc2": "C F",
}


def official_rules() -> Iterator[Rule]:
    """Yield the rules for microsoft/unilm's ``beit3``: the released files and those of its fine-tuning.

    There, ``A`` is the vision tower and ``B`` the language tower.
    """
    yield Rule("logit_scale", ("logit_scale",), "1", scalar=True, outside=True)
    yield Rule("vision.embed.cls_token", ("vision_embed.cls_token",), "1 1 C")
    yield Rule("vision.embed.mask_token", ("vision_embed.mask_token",), "1 1 C")
    yield from affine("C I p p", "vision.embed.proj", "vision_embed.proj")
    yield Rule("language.embed.words.weight", ("text_embed.weight",), "V C")
    for tower, letter, positions in (("vision", "A", "P C"), ("language", "B", "T C")):
        yield Rule(f"{tower}.embed.positions", (f"encoder.embed_positions.{letter}.weight",), positions)
        modules = {
            "attn.norm": (f"self_attn_layer_norm.{letter}",),
            "attn.qkv": tuple(f"self_attn.{part}_proj.{letter}" for part in "qkv"),
            "attn.inner_norm": (f"self_attn.inner_attn_ln.{letter}",),
            "attn.out": (f"self_attn.out_proj.{letter}",),
            "ffn.norm": (f"final_layer_norm.{letter}",),
            "ffn.fc1": (f"ffn.{letter}.fc1",),
            "ffn.inner_norm": (f"ffn.{letter}.ffn_layernorm",),
            "ffn.fc2": (f"ffn.{letter}.fc2",),
        }
        yield from renamed_modules(f"{tower}.layers.{{i}}", "encoder.layers.{i}", modules, _LAYER)
        yield from affine("C", f"{tower}.norm", f"encoder.layer_norm.{letter}")


_TIMM_LAYER = {
    "attn.norm": ("norm1",),
    "attn.qkv": ("attn.qkv",),
    "attn.inner_norm": ("attn.norm",),
    "attn.out": ("attn.proj",),
    "ffn.norm": ("norm2",),
    "ffn.fc1": ("mlp.fc1",),
    "ffn.inner_norm": ("mlp.norm",),
    "ffn.fc2": ("mlp.fc2",),
}


def timm_rules() -> Iterator[Rule]:
    """Yield the rules for timm's ``beit3_*``: the vision tower without its mask token and unused position rows."""
    yield Rule("vision.embed.cls_token", ("cls_token",), "1 1 C")
    # The first two rows of BEiT-3's table are never read.
    yield Rule("vision.embed.positions", ("pos_embed",), "P C", drop_rows=2, batch_dim=True)
    yield from affine("C I p p", "vision.embed.proj", "patch_embed.proj")
    yield from renamed_modules("vision.layers.{i}", "blocks.{i}", _TIMM_LAYER, _LAYER)
    # Absent if timm's model averages its patches before the final norm. timm then calls the norm fc_norm.
    yield from affine("C", "vision.norm", "norm")


# Names in mmbeit3 (as in timm) to names in the reference ViT-Adapter, where they differ.
_LAYER_SCALES = {"ls1.gamma": "gamma1", "ls2.gamma": "gamma2"}
# BEiT's tensors, with the same names in both.
_BEIT_LAYER = (
    *("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias"),
    *("attn.relative_position_bias_table", "attn.relative_position_index"),
)


def vit_adapter_rules() -> Iterator[Rule]:
    """Yield the rules for czczup/ViT-Adapter on mmseg 0.x and mmdet 2.x: its ViT, and Mask2Former's former names.

    mmbeit3 has the ViT as timm's model inside the adapter, see ``mmbeit3.TimmViT``: ``backbone.blocks.0.norm1.weight`` becomes
    ``backbone.vit.model.blocks.0.norm1.weight``. Tensors with the same name in both have no rule.
    """
    for backbone in BACKBONE_OR_BARE:
        vit = f"{backbone}{ADAPTER_VIT}{TIMM_MODEL}"
        for name in ("cls_token", "pos_embed"):
            yield Rule(f"{vit}{name}", (f"{backbone}{name}",))
        yield from affine("", f"{vit}patch_embed.proj", f"{backbone}patch_embed.proj")
        block, foreign = f"{vit}blocks.{{i}}", f"{backbone}blocks.{{i}}"
        modules = {name: (name,) for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}
        yield from renamed_modules(block, foreign, modules)
        for name, other in (_LAYER_SCALES | {name: name for name in _BEIT_LAYER}).items():
            yield Rule(f"{block}.{name}", (f"{foreign}.{other}",))
    for head in ("decode_head.", "panoptic_head."):
        yield from _former_mask2former_rules(head)


def _former_mask2former_rules(head: str) -> Iterator[Rule]:
    """Yield the rules for Mask2Former's attention and FFNs, which mmdet 3 renamed."""
    layer = f"{head}pixel_decoder.encoder.layers.{{i}}"
    names = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    yield from renamed_modules(f"{layer}.self_attn", f"{layer}.attentions.0", {name: (name,) for name in names})
    yield from renamed_modules(layer, layer, _FORMER_FFN)
    layer = f"{head}transformer_decoder.layers.{{i}}"
    # A layer of the decoder starts with its cross-attention.
    for attention, former in (("cross_attn", "attentions.0"), ("self_attn", "attentions.1")):
        for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"):
            yield Rule(f"{layer}.{attention}.attn.{name}", (f"{layer}.{former}.attn.{name}",))
    yield from renamed_modules(layer, layer, _FORMER_FFN)


_FORMER_FFN = {f"ffn.layers.{part}": (f"ffns.0.layers.{part}",) for part in ("0.0", "1")}
