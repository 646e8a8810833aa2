"""The tables of key rules, one function a layout. Names on the right are the other project's, see :mod:`.layouts`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Rule", "affine", "official_rules", "timm_rules", "vit_adapter_rules"]


@dataclass(frozen=True)
class Rule:
    """One tensor of ours and what another layout calls it.

    Attributes:
        ours: our name; ``{i}`` stands for a layer's index.
        theirs: the other layout's names; several are parts of ours, concatenated along the first axis.
        shape: of ours, one word an axis: a number, a letter that is the same number all over a file (C width, F width of the
            FFN, P and T positions of patches and words, V words, p side of a patch, I channels of images), or a multiple such
            as ``3C``. Empty where it is not checked.
        drop_rows: rows at the start of ours that the other layout does not have; zeros when read.
        batch_dim: the other layout has a leading axis of size 1.
        scalar: the other layout has no axis, where ours has one of size 1.
        leading: leading axes of size 1 that the other layout does not have.
        outside: the other layout's prefix does not stand before it.
    """

    ours: str
    theirs: tuple[str, ...]
    shape: str = ""
    drop_rows: int = 0
    batch_dim: bool = False
    scalar: bool = False
    leading: int = 0
    outside: bool = False

    def to_ours(self, parts: list[Tensor]) -> Tensor:
        """Put the other layout's tensors together to ours."""
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
        """Take ours apart into the other layout's tensors."""
        if self.scalar:
            return [tensor.reshape(())]
        if self.leading:
            tensor = tensor.reshape(tensor.shape[self.leading :])
        tensor = tensor[self.drop_rows :]
        if self.batch_dim:
            tensor = tensor.unsqueeze(0)
        return list(tensor.chunk(len(self.theirs)))


def affine(shape: str, ours: str, *theirs: str) -> Iterator[Rule]:
    """A weight, and its bias of the weight's first axis."""
    yield Rule(f"{ours}.weight", tuple(f"{their}.weight" for their in theirs), shape)
    yield Rule(f"{ours}.bias", tuple(f"{their}.bias" for their in theirs), shape.split()[0] if shape else "")


def official_rules() -> Iterator[Rule]:
    """microsoft/unilm's ``beit3``: the released files, and what its fine-tuning writes."""
    yield Rule("logit_scale", ("logit_scale",), "1", scalar=True, outside=True)
    yield Rule("vision.embed.cls_token", ("vision_embed.cls_token",), "1 1 C")
    yield Rule("vision.embed.mask_token", ("vision_embed.mask_token",), "1 1 C")
    yield from affine("C I p p", "vision.embed.proj", "vision_embed.proj")
    yield Rule("language.embed.words.weight", ("text_embed.weight",), "V C")
    for tower, letter, positions in (("vision", "A", "P C"), ("language", "B", "T C")):
        yield Rule(f"{tower}.embed.positions", (f"encoder.embed_positions.{letter}.weight",), positions)
        ours, theirs = f"{tower}.layers.{{i}}", "encoder.layers.{i}"
        yield from affine("C", f"{ours}.attn.norm", f"{theirs}.self_attn_layer_norm.{letter}")
        yield from affine("3C C", f"{ours}.attn.qkv", *(f"{theirs}.self_attn.{part}_proj.{letter}" for part in "qkv"))
        yield from affine("C", f"{ours}.attn.inner_norm", f"{theirs}.self_attn.inner_attn_ln.{letter}")
        yield from affine("C C", f"{ours}.attn.out", f"{theirs}.self_attn.out_proj.{letter}")
        yield from affine("C", f"{ours}.ffn.norm", f"{theirs}.final_layer_norm.{letter}")
        yield from affine("F C", f"{ours}.ffn.fc1", f"{theirs}.ffn.{letter}.fc1")
        yield from affine("F", f"{ours}.ffn.inner_norm", f"{theirs}.ffn.{letter}.ffn_layernorm")
        yield from affine("C F", f"{ours}.ffn.fc2", f"{theirs}.ffn.{letter}.fc2")
        yield from affine("C", f"{tower}.norm", f"encoder.layer_norm.{letter}")


def timm_rules() -> Iterator[Rule]:
    """timm's ``beit3_*``: images only, and no rows that are never read."""
    yield Rule("vision.embed.cls_token", ("cls_token",), "1 1 C")
    yield Rule("vision.embed.positions", ("pos_embed",), "P C", drop_rows=2, batch_dim=True)
    yield from affine("C I p p", "vision.embed.proj", "patch_embed.proj")
    ours, theirs = "vision.layers.{i}", "blocks.{i}"
    yield from affine("C", f"{ours}.attn.norm", f"{theirs}.norm1")
    yield from affine("3C C", f"{ours}.attn.qkv", f"{theirs}.attn.qkv")
    yield from affine("C", f"{ours}.attn.inner_norm", f"{theirs}.attn.norm")
    yield from affine("C C", f"{ours}.attn.out", f"{theirs}.attn.proj")
    yield from affine("C", f"{ours}.ffn.norm", f"{theirs}.norm2")
    yield from affine("F C", f"{ours}.ffn.fc1", f"{theirs}.mlp.fc1")
    yield from affine("F", f"{ours}.ffn.inner_norm", f"{theirs}.mlp.norm")
    yield from affine("C F", f"{ours}.ffn.fc2", f"{theirs}.mlp.fc2")
    # There unless timm's model averages its patches before the norm, which it then calls fc_norm.
    yield from affine("C", "vision.norm", "norm")


def vit_adapter_rules() -> Iterator[Rule]:
    """czczup/ViT-Adapter, on mmseg 0.x and mmdet 2.x: a ViT beside the adapter's parts, and Mask2Former's former names.

    Ours has the ViT as timm's, see ``mmbeit3.TimmViT``. What goes by the same name in both has no rule.
    """
    for root in ("backbone.", ""):
        ours = f"{root}vit.model."
        for name in ("cls_token", "pos_embed"):
            yield Rule(f"{ours}{name}", (f"{root}{name}",))
        yield from affine("", f"{ours}patch_embed.proj", f"{root}patch_embed.proj")
        ours, theirs = f"{ours}blocks.{{i}}.", f"{root}blocks.{{i}}."
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
            yield from affine("", f"{ours}{part}", f"{theirs}{part}")
        yield Rule(f"{ours}ls1.gamma", (f"{theirs}gamma1",))
        yield Rule(f"{ours}ls2.gamma", (f"{theirs}gamma2",))
        # BEiT's own.
        attention = ("q_bias", "v_bias", "relative_position_bias_table", "relative_position_index")
        for name in ("gamma_1", "gamma_2", *(f"attn.{name}" for name in attention)):
            yield Rule(f"{ours}{name}", (f"{theirs}{name}",))
    for head in ("decode_head.", "panoptic_head."):
        yield from _former_mask2former_rules(head)


def _former_mask2former_rules(head: str) -> Iterator[Rule]:
    layer = f"{head}pixel_decoder.encoder.layers.{{i}}."
    for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
        yield from affine("", f"{layer}self_attn.{part}", f"{layer}attentions.0.{part}")
    yield from _former_ffn_rules(layer)
    layer = f"{head}transformer_decoder.layers.{{i}}."
    # A layer of the decoder begins with its cross-attention.
    for ours, theirs in (("cross_attn", "attentions.0"), ("self_attn", "attentions.1")):
        for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"):
            yield Rule(f"{layer}{ours}.attn.{name}", (f"{layer}{theirs}.attn.{name}",))
    yield from _former_ffn_rules(layer)


def _former_ffn_rules(layer: str) -> Iterator[Rule]:
    for part in ("0.0", "1"):
        yield from affine("", f"{layer}ffn.layers.{part}", f"{layer}ffns.0.layers.{part}")
