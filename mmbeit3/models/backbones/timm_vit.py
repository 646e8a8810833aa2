"""timm's plain ViTs as backbones for ViT-Adapter and ViTDet's feature pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from mmbeit3.checkpoint import Translated
from mmbeit3.checkpoint.positions import PositionTable
from mmbeit3.checkpoint.prefixes import TIMM_MODEL
from mmbeit3.models.backbones.plain_vit import PlainViT
from mmbeit3.models.backbones.timm_models import create_vit
from mmbeit3.models.backbones.timm_weights import fit_positions, read_weights, table_grid
from mmbeit3.ops import call_module, region
from mmbeit3.ops.exporting import fixed
from mmbeit3.registry import MODELS

__all__ = ["TimmViT"]


class _EagerDropPath(DropPath):
    """Stochastic depth outside of compiled graphs: as a constant, the rate of each block would need a graph of its own."""

    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@MODELS.register_module()
class TimmViT(PlainViT, PositionTable):
    """A plain timm ViT, run block by block on images of any size.

    It supports every timm model of class ``VisionTransformer`` (AugReg, DeiT with and without distillation, DeiT III, MAE,
    DINO, DINOv2, CLIP, SigLIP, BEiT-3, FlexiViT, RADIO …; also with a convolutional stem, such as hybrids and ViTamin) or
    ``Eva`` (EVA, EVA-02, DINOv3, Perception Encoder, RoPE-ViT …), with class, distillation and register tokens, and with
    absolute positions (timm resizes them to each image's grid) or rotary ones. All other classes are refused: BEiT, SAM and
    others with relative positions, NaFlexViT, CaiT, and networks with several resolutions.

    Heads, poolings and, with ``final_norm=False``, the final norm are not built, so every parameter gets a gradient.

    Args:
        model_name: timm's model name, with or without a weight tag, e.g. ``'vit_base_patch14_dinov2'``.
        pretrained: load timm's weights (may download). For files use ``checkpoint``.
        image_size: side in pixels, or (height, width), of the image that the position table is for; default the model's.
        out_indices: blocks whose outputs are returned; default the last.
        drop_path_rate: stochastic depth at the last block.
        with_cp: recompute each block in the backward pass to save memory.
        frozen_stages: -1 trains everything, 0 freezes the embedding, k the embedding and the first k blocks.
        final_norm: apply the final norm to the returned maps. If timm applies it to the average of all patches (``fc_norm``),
            it is applied to each patch here. A few models have no final norm (RADIO, Perception Encoder).
        patch_size: side of a patch in pixels, or in cells of a convolutional stem's map; default the model's. Weights of
            another patch size are resized.
        in_channels: channels of images. RGB weights are adapted as in timm.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, the long form of ``checkpoint``. ``grid=(h, w)`` in it gives the
            patch grid of the file's position table; it is needed if the grid is not square and mmbeit3 did not write the file.
        compile_blocks: compile the blocks, see :func:`mmbeit3.ops.region`.
        checkpoint: path or URL of initial weights, ``.safetensors`` or ``.pth``, of this model, for any image or patch size.
            Its keys may be timm's, those of the original release (DINOv2, DINOv3, EVA-02, MAE, DeiT, CLIP, BEiT-3 …) or those
            of transformers (ViT, DeiT, ViT-MAE, DINOv2, DINOv3, SigLIP, CLIP). Position tables are resized as in timm. A
            checkpoint with missing or unknown weights is refused, but may contain heads and decoders. :meth:`init_weights`
            loads it; MMEngine's runner calls that method before training.

    Raises:
        ValueError: if timm has no such model, if it has another class, or if ``checkpoint`` is given with ``init_cfg`` or
            ``pretrained=True``.
        mmbeit3.errors.UserError: if timm's weights cannot be loaded.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        image_size: int | Sequence[int] | None = None,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen_stages: int = -1,
        final_norm: bool = False,
        patch_size: int | None = None,
        in_channels: int = 3,
        init_cfg: dict[str, Any] | None = None,
        compile_blocks: bool = False,
        checkpoint: str | Path | None = None,
    ) -> None:
        if checkpoint is not None:
            if init_cfg or pretrained:
                other = "init_cfg" if init_cfg else "pretrained=True"
                raise ValueError(f"both checkpoint='{checkpoint}' and {other} set the initial weights: remove one of them")
            init_cfg = {"type": "Pretrained", "checkpoint": str(checkpoint)}
        super().__init__(out_indices, frozen_stages, init_cfg)
        self.model = create_vit(model_name, pretrained, image_size, patch_size, drop_path_rate, final_norm, in_channels)
        self.with_cp = with_cp
        self.compile_blocks = compile_blocks
        self.in_channels = in_channels
        self.embed_dims = self.model.embed_dim
        self.num_layers = len(self.model.blocks)
        # With a convolutional stem this is its stride times the patch size on its map.
        self.patch_size = cast(int, self.model.patch_embed.feat_ratio())
        self.num_prefix_tokens = self.model.num_prefix_tokens
        self.model_name = model_name
        self._rope: Tensor | None = None
        if (grid := table_grid(self.model)) is not None:
            self.keep_grid(f"{TIMM_MODEL}pos_embed", grid)
        self.freeze()

    @property
    def compile_blocks(self) -> bool:
        """True if the blocks are compiled, see :func:`mmbeit3.ops.region`."""
        return self._compile_blocks

    @compile_blocks.setter
    def compile_blocks(self, value: bool) -> None:
        self._compile_blocks = value
        if value:
            for module in cast(nn.Module, self.model.blocks).modules():
                if type(module) is DropPath:
                    module.__class__ = _EagerDropPath

    def embed_image(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed (B, in_channels, H, W) to tokens (B, P + h * w, C) and the grid (h, w)."""
        p = self.patch_size
        bottom, right = -image.shape[2] % p, -image.shape[3] % p
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom))
        patches = self.model.patch_embed(image)  # (B, h, w, C)
        h, w = fixed(patches.shape[1], patches.shape[2])
        embedded = self.model._pos_embed(patches)
        # Eva also returns rotary embeddings. If training augments them at random, all blocks must use the same sample.
        tokens, sampled = embedded if isinstance(embedded, tuple) else (embedded, None)
        rope = getattr(self.model, "rope", None)
        self._rope = sampled if rope is not None and rope.training and getattr(rope, "aug_active", False) else None
        return self.model.norm_pre(tokens), (h, w)

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run blocks ``first`` to ``last - 1`` over tokens (B, P + h * w, C)."""
        rope = self._rotary(grid)
        for index, block in enumerate(self._blocks()[first:last], start=first):
            options: dict[str, Any] = {} if rope is None else {"rope": rope[index] if self.model.rope_mixed else rope}
            call = region(call_module, self.compile_blocks)
            if self.with_cp and torch.is_grad_enabled():
                tokens = recompute(call, block, tokens, use_reentrant=False, **options)
            else:
                tokens = call(block, tokens, **options)
        return tokens

    def _rotary(self, grid: tuple[int, int]) -> Tensor | None:
        """Return the rotary embeddings of a grid, one per block if the model mixes them, or None for other models."""
        rope = getattr(self.model, "rope", None)
        if rope is None or self._rope is not None:
            return self._rope
        return rope.get_embed(shape=grid)

    def translate(self, state: Mapping[str, Tensor], source: str, grid: Sequence[int] | Tensor | None = None) -> Translated:
        """Translate a checkpoint of any image and patch size from timm's, the original or transformers' names.

        :func:`mmbeit3.checkpoint.load_checkpoint` calls this method.

        Raises:
            mmbeit3.errors.UserError: if the checkpoint belongs to another model.
        """
        translated = read_weights(self.model, self.model_name, state, source, grid)
        tensors = {f"{TIMM_MODEL}{name}": tensor for name, tensor in translated.tensors.items()}
        resized = {f"{TIMM_MODEL}{name}": sizes for name, sizes in translated.resized.items()}
        return Translated(tensors, translated.layout, resized, translated.unused)

    def fit_positions(self, table: Tensor, source_grid: Tensor | None) -> Tensor:
        """Resize a table of another grid as timm does. Return a table of another width unchanged: PyTorch refuses it."""
        target = cast(nn.Parameter, self.model.pos_embed)
        if table.ndim != 3 or len(table) != 1 or table.shape[2] != target.shape[2]:
            return table
        return fit_positions(self.model, self.model_name, table, source_grid)[0]

    def normalize(self, tokens: Tensor) -> Tensor:
        """Apply the final norm, if it was built, to tokens (B, P + h * w, C)."""
        return self.model.norm(tokens)

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """List the modules and parameters before the first block, then each block."""
        outside = {"blocks", "norm", "fc_norm", "head", "head_drop", "attn_pool", "head_dist"}
        embedding: list[nn.Module | nn.Parameter] = [
            module for name, module in self.model.named_children() if name not in outside
        ]
        embedding += [parameter for name, parameter in self.model.named_parameters(recurse=False)]
        stages = [embedding]
        stages += [[block] for block in self._blocks()]
        return stages

    def _blocks(self) -> list[nn.Module]:
        return list(cast(nn.ModuleList, self.model.blocks))
