"""Key layouts of other plain ViTs, as data: Hugging Face's (transformers'). Ours are timm's names here, or for DINOv2 Meta's.

Each family has the names of released files, which transformers 5 still writes, and those that its state dicts have since.
timm itself translates the original files of most authors, see ``mmbeit3.TimmViT``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmbeit3.checkpoint.layouts import LAYOUTS, Layout
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.rules import Rule, affine
from mmbeit3.errors import UserError

__all__ = ["VIT_LAYOUTS", "NamedViT", "find_vit"]

_PATCHES = "patch_embed.proj.weight"
"""timm's and most authors' name of the patch embedding's kernel, by which a ViT is found in a file."""


def _blocks(ours: str, layers: str, parts: Mapping[str, tuple[str, ...]]) -> Iterator[Rule]:
    for name, theirs in parts.items():
        yield from affine("", f"{ours}.{name}", *(f"{layers}.{their}" for their in theirs))


def _vit_rules() -> Iterator[Rule]:
    """ViT, DeiT, ViT-MAE, I-JEPA, DINOv2 without and with registers (timm takes its names from Meta's file)."""
    for ours, theirs in (
        ("cls_token", "cls_token"),
        ("dist_token", "distillation_token"),
        ("register_tokens", "register_tokens"),
        ("mask_token", "mask_token"),
        ("pos_embed", "position_embeddings"),
    ):
        yield Rule(ours, (f"embeddings.{theirs}",))
    yield from affine("", "patch_embed.proj", "embeddings.patch_embeddings.projection")
    ours = "blocks.{i}"
    for layers in ("encoder.layer.{i}", "layers.{i}"):
        yield from _blocks(
            ours,
            layers,
            {
                "norm1": ("norm1",),
                "norm2": ("norm2",),
                "attn.proj": ("attention.output.dense",),
                "attn.qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
                "mlp.fc1": ("mlp.fc1",),
                "mlp.fc2": ("mlp.fc2",),
            },
        )
        yield from _blocks(
            ours,
            layers,
            {
                "norm1": ("layernorm_before",),
                "norm2": ("layernorm_after",),
                "attn.proj": ("attention.o_proj",),
                "attn.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
                "mlp.fc1": ("intermediate.dense",),
                "mlp.fc2": ("output.dense",),
            },
        )
        # SwiGLU of the giant DINOv2.
        yield from _blocks(ours, layers, {"mlp.fc1": ("mlp.weights_in",), "mlp.fc2": ("mlp.weights_out",)})
        yield from _blocks(ours, layers, {"mlp.fc1": ("mlp.gate_proj", "mlp.up_proj"), "mlp.fc2": ("mlp.down_proj",)})
        for k in (1, 2):
            yield Rule(f"{ours}.ls{k}.gamma", (f"{layers}.layer_scale{k}.lambda1",))
    yield from affine("", "norm", "layernorm")


def _dinov3_rules(gated: bool) -> Iterator[Rule]:
    """DINOv3, with SwiGLU (``gated``) or without."""
    for ours, theirs in (("cls_token", "cls_token"), ("reg_token", "register_tokens"), ("mask_token", "mask_token")):
        yield Rule(ours, (f"embeddings.{theirs}",))
    yield from affine("", "patch_embed.proj", "embeddings.patch_embeddings")
    ours = "blocks.{i}"
    for layers in ("layer.{i}", "model.layer.{i}"):
        yield from _blocks(
            ours,
            layers,
            {
                "norm1": ("norm1",),
                "norm2": ("norm2",),
                "attn.proj": ("attention.o_proj",),
                "mlp.fc1_g": ("mlp.gate_proj",),
                "mlp.fc1_x" if gated else "mlp.fc1": ("mlp.up_proj",),
                "mlp.fc2": ("mlp.down_proj",),
            },
        )
        yield Rule(f"{ours}.attn.qkv.weight", tuple(f"{layers}.attention.{part}_proj.weight" for part in "qkv"))
        for part in "qkv":
            yield Rule(f"{ours}.attn.{part}_bias", (f"{layers}.attention.{part}_proj.bias",))
        for k in (1, 2):
            yield Rule(f"{ours}.gamma_{k}", (f"{layers}.layer_scale{k}.lambda1",))
    yield from affine("", "norm", "norm")


def _clip_rules() -> Iterator[Rule]:
    """SigLIP and CLIP."""
    yield Rule("cls_token", ("embeddings.class_embedding",), leading=2)
    yield Rule("pos_embed", ("embeddings.position_embedding.weight",), leading=1)
    yield from affine("", "patch_embed.proj", "embeddings.patch_embedding")
    yield from affine("", "norm_pre", "pre_layrnorm")
    yield from _blocks(
        "blocks.{i}",
        "encoder.layers.{i}",
        {
            "norm1": ("layer_norm1",),
            "norm2": ("layer_norm2",),
            "attn.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "attn.proj": ("self_attn.out_proj",),
            "mlp.fc1": ("mlp.fc1",),
            "mlp.fc2": ("mlp.fc2",),
        },
    )
    yield from affine("", "norm", "post_layernorm")


_DINOV3 = "embeddings.patch_embeddings.weight"

VIT_LAYOUTS = (
    Layout("transformers ViT", (("embeddings.patch_embeddings.projection.weight",),), tuple(_vit_rules())),
    Layout(
        "transformers DINOv3",
        tuple((_DINOV3, f"{root}layer.0.mlp.gate_proj.weight") for root in ("", "model.")),
        tuple(_dinov3_rules(gated=True)),
    ),
    Layout("transformers DINOv3", ((_DINOV3,),), tuple(_dinov3_rules(gated=False))),
    Layout("transformers CLIP", (("embeddings.patch_embedding.weight",),), tuple(_clip_rules())),
)


@dataclass
class NamedViT:
    """A ViT found in a file.

    Attributes:
        tensors: under the author's or timm's names, whichever the file or its layout has.
        layout: name of the layout.
        others: names of what stands outside of the ViT.
    """

    tensors: dict[str, Tensor]
    layout: str
    others: list[str]


def find_vit(state: Mapping[str, Tensor]) -> NamedViT:
    """Find a plain ViT in a file, wherever it stands, and translate transformers' names and BEiT-3's.

    Raises:
        UserError: if there are several, as where a file holds a student and its teacher.
    """
    if "vision.embed.proj.weight" in state:
        tower = {name: tensor for name, tensor in state.items() if name.startswith("vision.") and "mask_token" not in name}
        return NamedViT(LAYOUTS["timm"].to_theirs(tower), "BEiT-3", [name for name in state if name not in tower])
    for layout in VIT_LAYOUTS:
        for marks in layout.marks:
            root = _root_of(state, marks[0])
            if root is not None and all(f"{root}{mark}" in state for mark in marks):
                inner, others = _split(state, root)
                return NamedViT(layout.to_ours(inner), layout.name, others)
    root = _root_of(state, _PATCHES)
    inner, others = _split(state, root or "")
    return NamedViT(inner, "own" if root is None else "timm", others)


def _root_of(names: Iterable[str], mark: str) -> str | None:
    """What stands before a name that ends in ``mark``, such as ``vit.model.`` in an adapter; None if there is no such name."""
    roots = [name.removesuffix(mark) for name in names if name == mark or name.endswith(f".{mark}")]
    if len(roots) > 1:
        raise UserError(
            f"the checkpoint holds {len(roots)} ViTs ({list_names([root + mark for root in roots])}): give a file with one"
        )
    return roots[0] if roots else None


def _split(state: Mapping[str, Tensor], root: str) -> tuple[dict[str, Tensor], list[str]]:
    inner = {name.removeprefix(root): tensor for name, tensor in state.items() if name.startswith(root)}
    return inner, [name for name in state if not name.startswith(root)]
