"""ViT-Adapter (arXiv 2205.08534) around any plain ViT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbeit3.models.backbones.adapter_grids import Grid, crop, reference_points, resample
from mmbeit3.models.backbones.adapter_modules import Extractor, Injector, SpatialPriorModule
from mmbeit3.models.backbones.init_cfg import init_pretrained, names_checkpoint
from mmbeit3.models.backbones.plain_vit import PlainViT, tokens_to_map
from mmbeit3.models.layers import LN2d
from mmbeit3.ops import Residual, wide_dtype
from mmbeit3.ops.exporting import fixed, tracing
from mmbeit3.registry import MODELS

__all__ = ["ViTAdapter"]

_STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class ViTAdapter(BaseModule):
    """A plain ViT that exchanges features with a convolutional spatial prior and returns maps at strides 4, 8, 16 and 32.

    Unlike the reference, it supports images of any size (cells are matched by their position in pixels), patch sizes other than
    16, any norm, batches of one image, CPU, bf16 and fp16. With the reference's weights, patch 16 and images whose sides are
    multiples of 32, the maps equal the reference's.

    Args:
        vit: config of a :class:`~mmbeit3.models.backbones.plain_vit.PlainViT`, such as ``mmbeit3.BEiT3Vision``. Its
            ``in_channels`` is also used for the adapter.
        interaction_indexes: first and last block (inclusive) of each interaction. Blocks must be covered in order.
        conv_inplane: channels of the spatial prior's first stage.
        n_points: sampled points of deformable attention on each level.
        deform_num_heads: heads of deformable attention.
        deform_ratio: width of its values as a fraction of the ViT's.
        cffn_ratio: inner width of the ConvFFN as a fraction of the ViT's.
        with_cffn: give the extractors a ConvFFN.
        add_vit_feature: add the ViT's features to the four maps.
        vit_feature: with ``'stages'`` each map gets the output of one interaction (as in the reference for segmentation; needs
            four interactions); with ``'last'`` all maps get the output of the last one (as in the reference for detection).
        use_injectors: let the ViT's tokens attend to the spatial prior. False leaves the ViT's features as they are; DINOv3's
            segmentation does so around a frozen ViT, which then needs no backward pass.
        use_extra_extractor: add two more extractors after the last interaction.
        init_value: initial value of the injectors' gamma.
        init_gain: factor on the initial weights of the extractors' outputs and ``up``, which are added to the spatial prior. 1
            is the reference's value; about 0.1 is better for training from random weights: an untrained ViT only adds noise.
        drop_path_rate: stochastic depth of the ConvFFNs; the reference uses the ViT's largest rate.
        norm_cfg: norm of the prior and of the four maps. Default: ``SyncBN``, as in the reference, which needs GPUs to train
            with several processes. ``GN`` and ``mmbeit3.LN2d`` also work on CPUs.
        with_cp: recompute injectors and extractors in the backward pass to save memory (the ViT has its own switch).
        freeze_vit: freeze the ViT; injectors are still trained.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` for the whole backbone; ``vit.init_cfg`` for the ViT only.
        compile_blocks: compile injectors and extractors, see :func:`mmbeit3.ops.region` (the ViT has its own switch).

    Raises:
        ValueError: for interactions that do not cover the ViT's blocks in order, or widths that do not divide by
            ``deform_num_heads``.
    """

    def __init__(
        self,
        vit: dict[str, Any],
        interaction_indexes: Sequence[Sequence[int]] = ((0, 2), (3, 5), (6, 8), (9, 11)),
        conv_inplane: int = 64,
        n_points: int = 4,
        deform_num_heads: int = 12,
        deform_ratio: float = 0.5,
        cffn_ratio: float = 0.25,
        with_cffn: bool = True,
        add_vit_feature: bool = True,
        vit_feature: str = "stages",
        use_injectors: bool = True,
        use_extra_extractor: bool = True,
        init_value: float = 0.0,
        init_gain: float = 1.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict[str, Any] | None = None,
        with_cp: bool = False,
        freeze_vit: bool = False,
        init_cfg: dict[str, Any] | None = None,
        compile_blocks: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        self.vit = cast(PlainViT, MODELS.build(vit))
        C = self.embed_dims = self.vit.embed_dims
        self.in_channels = self.vit.in_channels
        self.groups = _check_interactions(interaction_indexes, self.vit.num_layers)
        if vit_feature not in ("stages", "last"):
            raise ValueError(f"vit_feature must be 'stages' or 'last', got {vit_feature!r}")
        if add_vit_feature and vit_feature == "stages" and len(self.groups) != len(_STRIDES):
            raise ValueError(f"vit_feature='stages' needs four interactions, got {len(self.groups)}: use 'last'")
        self.add_vit_feature = add_vit_feature
        self.vit_feature = vit_feature
        self.with_cp = with_cp
        self.freeze_vit = freeze_vit

        norm_cfg = {"type": "SyncBN"} if norm_cfg is None else norm_cfg
        self.level_embed = nn.Parameter(torch.zeros(3, C))
        self.spm = SpatialPriorModule(conv_inplane, C, norm_cfg, self.in_channels)

        def extractor() -> Extractor:
            ffn = with_cffn, cffn_ratio, drop_path_rate
            return Extractor(C, deform_num_heads, n_points, deform_ratio, *ffn, compile_blocks)

        self.interactions = nn.ModuleList()
        for _ in self.groups:
            interaction = nn.ModuleDict()
            if use_injectors:
                interaction["injector"] = Injector(C, deform_num_heads, n_points, deform_ratio, 3, init_value, compile_blocks)
            interaction["extractor"] = extractor()
            self.interactions.append(interaction)
        if use_extra_extractor:
            cast(nn.ModuleDict, self.interactions[-1])["extra_extractors"] = nn.ModuleList([extractor(), extractor()])
        self.up = nn.ConvTranspose2d(C, C, 2, 2)
        for index in range(1, 5):
            self.add_module(f"norm{index}", build_norm_layer(norm_cfg, C)[1])
        self._init_adapter(init_gain)
        if freeze_vit:
            self.vit.requires_grad_(False).eval()

    @torch.no_grad()
    def _init_adapter(self, gain: float) -> None:
        """Set the reference's initial values, except in the ViT and in deformable attention, which initialises itself."""
        nn.init.normal_(self.level_embed)
        for part in (self.spm, self.interactions, self.up):
            for name, module in part.named_modules():
                if isinstance(module, nn.Linear) and ".attn." not in f".{name}":
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    nn.init.zeros_(module.bias)
                elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                    nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        extractors = (module for module in self.interactions.modules() if isinstance(module, Extractor))
        for added in (self.up, *(extractor.attn.output_proj for extractor in extractors)):
            cast(Tensor, added.weight).mul_(gain)

    def init_weights(self) -> None:
        """Load the checkpoints of the ViT's and the adapter's ``init_cfg``. MMEngine calls this once the model is built."""
        # A checkpoint of the whole adapter replaces the ViT's; the ViT's replaces other initial weights.
        if names_checkpoint(self.init_cfg):
            self.vit.init_weights()
            init_pretrained(self)
        else:
            init_pretrained(self)
            self.vit.init_weights()

    def train(self, mode: bool = True) -> ViTAdapter:
        """Set the training mode; a frozen ViT stays in evaluation mode."""
        super().train(mode)
        if self.freeze_vit:
            self.vit.eval()
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute four contiguous maps (B, C, ceil(H / s), ceil(W / s)), s = 4, 8, 16, 32, of (B, in_channels, H, W)."""
        c1, *prior = self.spm(image)
        first, *levels = (
            Grid(*fixed(m.shape[2], m.shape[3]), stride) for m, stride in zip((c1, *prior), _STRIDES, strict=True)
        )
        c = torch.cat([m.flatten(2).transpose(1, 2) + embed for m, embed in zip(prior, self.level_embed, strict=True)], dim=1)
        # (B, M, C), the cells of the three levels
        x, shape = self.vit.embed_image(image)  # (B, P + N, C)
        tokens = Grid(*shape, self.vit.patch_size)
        c, stages = self._interact(x, c, tokens, levels)

        cells = c.split([grid.h * grid.w for grid in levels], dim=1)  # (B, h * w, C) each
        maps = [part.unflatten(1, grid.shape).permute(0, 3, 1, 2) for part, grid in zip(cells, levels, strict=True)]
        # (B, C, h, w) each
        # On CPUs a transposed convolution is faster in NCHW if it has a backward pass, else in channels-last.
        coarser = maps[0].contiguous() if torch.is_grad_enabled() or tracing() else maps[0]
        maps.insert(0, crop(self.up(coarser), first) + c1)
        if self.add_vit_feature:
            sources = stages if self.vit_feature == "stages" else stages[-1:] * len(maps)
            maps = [m + resample(s, tokens, grid) for m, s, grid in zip(maps, sources, (first, *levels), strict=True)]
        f1, f2, f3, f4 = (_norm_to_nchw(getattr(self, f"norm{index}"), m) for index, m in enumerate(maps, start=1))
        return f1, f2, f3, f4

    def _interact(self, x: Tensor, c: Tensor, tokens: Grid, levels: list[Grid]) -> tuple[Tensor, list[Tensor]]:
        """Run the ViT's blocks, exchanging features before and after each group of them.

        Args:
            x: the ViT's tokens (B, P + N, C).
            c: spatial prior (B, M, C).
            tokens: the ViT's grid.
            levels: the prior's grids.

        Returns:
            The spatial prior, and the ViT's map (B, C, h, w) after each group.
        """
        prefix = self.vit.num_prefix_tokens
        on_levels = reference_points([tokens], levels, x.device, wide_dtype(x))
        on_tokens = reference_points(levels, [tokens], x.device, wide_dtype(x))
        prior = Residual(c)
        stages = []
        for interaction, (first, last) in zip(self.interactions, self.groups, strict=True):
            modules = cast(nn.ModuleDict, interaction)
            if "injector" in modules:
                patches, prior = self._call(modules["injector"], x[:, prefix:], prior, on_levels, levels)
                x = torch.cat([x[:, :prefix], patches], dim=1) if prefix else patches  # (B, P + N, C)
            x = self.vit.run(x, tokens.shape, first, last + 1)
            extractors = [modules["extractor"]]
            if "extra_extractors" in modules:
                extractors.extend(cast(nn.ModuleList, modules["extra_extractors"]))
            for extractor in extractors:
                prior = self._call(extractor, prior, x[:, prefix:], on_tokens, levels, tokens)
            stages.append(tokens_to_map(x, tokens.shape, prefix))
        return prior.sum(), stages

    def _call(self, module: nn.Module, *args: Any) -> Any:
        if self.with_cp and torch.is_grad_enabled():
            # Recomputation keeps one tensor of a residual stream instead of tokens and branch.
            args = tuple(Residual(arg.sum()) if isinstance(arg, Residual) else arg for arg in args)
            return checkpoint(module, *args, use_reentrant=False)
        return module(*args)


def _norm_to_nchw(norm: nn.Module, features: Tensor) -> Tensor:
    """Normalise a map and make its memory NCHW, which mmcv's compiled ops assume without a check."""
    if not isinstance(norm, LN2d):
        # Batch and group norm keep the memory format, and train faster in NCHW.
        features = features.contiguous()
    return norm(features).contiguous()


def _check_interactions(indexes: Sequence[Sequence[int]], num_layers: int) -> list[tuple[int, int]]:
    groups = [(int(first), int(last)) for first, last in indexes]
    expected = 0
    for first, last in groups:
        if first != expected or last < first:
            break
        expected = last + 1
    if not groups or expected != num_layers:
        raise ValueError(
            f"interaction_indexes {[list(group) for group in groups]} must cover blocks 0 to {num_layers - 1} of the ViT "
            "in order: give the first and last block of each interaction"
        )
    return groups
