"""timm's plain ViTs as backbones, so that ViT-Adapter and ViTDet's pyramid work around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import timm
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmbeit3.models.backbones.plain_vit import PlainViT
from mmbeit3.registry import MODELS

__all__ = ["TimmViT"]


@MODELS.register_module()
class TimmViT(PlainViT):
    """A plain ViT of timm, run block by block on images of any size.

    Works for timm's ``VisionTransformer`` (DINOv2, AugReg, DeiT, MAE, SigLIP, BEiT-3 …) and ``Eva`` (EVA-02, DINOv3, …): class
    and register tokens, absolute positions (resized by timm to the image at hand) and rotary ones. Heads, poolings and, with
    ``final_norm=False``, the final norm are not built, so that no parameter stays without a gradient.

    Args:
        model_name: timm's, with or without a weight tag, e.g. ``'vit_base_patch14_dinov2'``.
        pretrained: load timm's weights (may download). ``init_cfg`` is for files of one's own.
        image_size: side in pixels, or (height, width), whose grid the position table has; default the model's.
        out_indices: blocks whose outputs are returned; default the last.
        drop_path_rate: stochastic depth at the last block.
        with_cp: recompute each block in the backward pass to save memory.
        frozen_stages: -1 trains everything, 0 freezes the embedding, k the embedding and the first k blocks.
        final_norm: apply the final norm to the returned maps.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        ValueError: if timm has no such model, or it is no plain ViT that can be run so.
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
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(out_indices, frozen_stages, init_cfg)
        self.model = _create(model_name, pretrained, image_size, drop_path_rate)
        if not final_norm:
            self.model.norm = nn.Identity()
        self.with_cp = with_cp
        self.embed_dims = self.model.embed_dim
        self.num_layers = len(self.model.blocks)
        self.patch_size = self.model.patch_embed.patch_size[0]
        self.num_prefix_tokens = self.model.num_prefix_tokens
        self.freeze()

    def embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed (B, 3, H, W); see :class:`~mmbeit3.models.backbones.plain_vit.PlainViT`."""
        p = self.patch_size
        bottom, right = -image.shape[2] % p, -image.shape[3] % p
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom))
        patches = self.model.patch_embed(image)
        grid = (patches.shape[1], patches.shape[2])
        embedded = self.model._pos_embed(patches)
        # Eva returns rotary embeddings besides; run() makes them from the grid.
        tokens = embedded[0] if isinstance(embedded, tuple) else embedded
        return self.model.norm_pre(tokens), grid

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run blocks ``first`` to ``last - 1`` over tokens (B, P + h * w, C)."""
        rope = getattr(self.model, "rope", None)
        options = {} if rope is None else {"rope": rope.get_embed(shape=grid)}
        for block in self._blocks()[first:last]:
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False, **options)
            else:
                tokens = block(tokens, **options)
        return tokens

    def normalize(self, tokens: Tensor) -> Tensor:
        """Apply the final norm, if it was built."""
        return self.model.norm(tokens)

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """Everything before the first block, then each block."""
        outside = {"blocks", "norm", "fc_norm", "head", "head_drop", "attn_pool"}
        embedding: list[nn.Module | nn.Parameter] = [
            module for name, module in self.model.named_children() if name not in outside
        ]
        embedding += [parameter for name, parameter in self.model.named_parameters(recurse=False)]
        stages = [embedding]
        stages += [[block] for block in self._blocks()]
        return stages

    def _blocks(self) -> list[nn.Module]:
        return list(cast(nn.ModuleList, self.model.blocks))


def _create(
    name: str, pretrained: bool, image_size: int | Sequence[int] | None, drop_path_rate: float
) -> VisionTransformer | Eva:
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5]
        raise ValueError(f"timm has no model '{name}'" + (f"; near it are {', '.join(close)}" if close else ""))
    entry = timm.model_entrypoint(name)
    if entry.__module__.rpartition(".")[2] not in ("vision_transformer", "eva"):
        raise ValueError(_unsupported(name, f"it is made by {entry.__module__}"))
    options: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    model = timm.create_model(
        name,
        pretrained=pretrained,
        num_classes=0,
        global_pool="",
        dynamic_img_size=True,
        drop_path_rate=drop_path_rate,
        **options,
    )
    if not isinstance(model, VisionTransformer | Eva):
        raise ValueError(_unsupported(name, f"it is a {type(model).__name__}"))
    if getattr(model, "rope_mixed", False):
        raise ValueError(_unsupported(name, "its rotary positions differ from block to block"))
    return model


def _unsupported(name: str, reason: str) -> str:
    return f"timm's '{name}' cannot be run block by block ({reason}); TimmViT takes timm's VisionTransformer and Eva models"
