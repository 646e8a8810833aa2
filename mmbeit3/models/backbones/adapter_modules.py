"""Modules of ViT-Adapter (arXiv 2205.08534). Parameter names are those of the reference, so its weights load unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from timm.layers import DropPath
from torch import Tensor, nn

from mmbeit3.models.backbones.adapter_grids import Grid
from mmbeit3.models.layers import DeformableAttention, reads_raw_memory
from mmbeit3.ops import Linear, Residual, add_layer_norm, apply_linear, fused_ms_deform_attn, linear, region
from mmbeit3.ops.exporting import exporting

__all__ = ["ConvFFN", "Extractor", "Injector", "SpatialPriorModule"]

_EPS = 1e-6


class SpatialPriorModule(nn.Module):
    """A small convolutional stem with maps at strides 4, 8, 16 and 32.

    Args:
        inplanes: channels of its first stage.
        embed_dims: channels C of the four maps.
        norm_cfg: norm after each convolution.
        in_channels: channels of images.
    """

    def __init__(self, inplanes: int, embed_dims: int, norm_cfg: dict[str, Any], in_channels: int = 3) -> None:
        super().__init__()

        def block(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
            return [
                nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
                build_norm_layer(norm_cfg, out_channels)[1],
                nn.ReLU(inplace=True),
            ]

        self.stem = nn.Sequential(
            *block(in_channels, inplanes, 2),
            *block(inplanes, inplanes, 1),
            *block(inplanes, inplanes, 1),
            _MaxPool(3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*block(inplanes, 2 * inplanes, 2))
        self.conv3 = nn.Sequential(*block(2 * inplanes, 4 * inplanes, 2))
        # The last stage keeps its width.
        self.conv4 = nn.Sequential(*block(4 * inplanes, 4 * inplanes, 2))
        self.fc1 = nn.Conv2d(inplanes, embed_dims, 1)
        self.fc2 = nn.Conv2d(2 * inplanes, embed_dims, 1)
        self.fc3 = nn.Conv2d(4 * inplanes, embed_dims, 1)
        self.fc4 = nn.Conv2d(4 * inplanes, embed_dims, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute from (B, in_channels, H, W) four maps (B, C, ceil(H / s), ceil(W / s)) for s = 4, 8, 16, 32."""
        # Convolutions and batch norm are faster on channels-last memory.
        memory_format = torch.contiguous_format if reads_raw_memory(self) else torch.channels_last
        c1 = self.stem(image.contiguous(memory_format=memory_format))
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return _pointwise(self.fc1, c1), _pointwise(self.fc2, c2), _pointwise(self.fc3, c3), _pointwise(self.fc4, c4)


class _MaxPool(nn.MaxPool2d):
    """Max pooling whose exported graph works for odd and even sides. PyTorch's graph works for only one of them."""

    def forward(self, input: Tensor) -> Tensor:
        if exporting():
            # Repeating the last row or column does not change a maximum.
            for dim in (2, 3):
                side = input.shape[dim]
                even = torch.arange((side + 1) // 2 * 2, device=input.device)
                input = input.index_select(dim, even.clamp(max=side - 1))
        return super().forward(input)


def _pointwise(conv: nn.Conv2d, features: Tensor) -> Tensor:
    """Compute a 1x1 convolution as a matrix product: (B, I, h, w) to (B, C, h, w), channels-last in memory, like tokens."""
    cells = features.permute(0, 2, 3, 1)  # (B, h, w, I)
    return linear(cells, conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2)  # (B, C, h, w)


class _CrossAttention(nn.Module):
    """Deformable attention from one set of features to another, with a norm on each.

    Args:
        embed_dims: width C.
        num_levels: number of levels of the features that are attended to.
        num_heads, num_points, ratio: see :class:`~mmbeit3.models.layers.DeformableAttention`.
        compile_blocks: compile the token-wise work, see :func:`mmbeit3.ops.region`.
    """

    def __init__(
        self, embed_dims: int, num_levels: int, num_heads: int, num_points: int, ratio: float, compile_blocks: bool
    ) -> None:
        super().__init__()
        self.compile_blocks = compile_blocks
        self.query_norm = nn.LayerNorm(embed_dims, eps=_EPS)
        self.feat_norm = nn.LayerNorm(embed_dims, eps=_EPS)
        self.attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, ratio)

    def attend(
        self, query: Residual, points: Tensor, features: Residual, levels: Sequence[Grid]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from queries (B, Q, C) at points (1, Q, levels, 2) to features (B, S, C) of all levels.

        Returns:
            The queries and the features, with their branches added, and the attended features (B, Q, heads * d) before the
            output projection.
        """
        query_sum, features_sum, *projected = region(_project, self.compile_blocks)(self, query, features)
        values, offsets, logits = projected
        attended = fused_ms_deform_attn(values, [level.shape for level in levels], points, offsets, logits)
        return query_sum, features_sum, attended


def _project(module: _CrossAttention, query: Residual, features: Residual) -> tuple[Tensor, ...]:
    """Return the queries and features with their branches added, and the results of :meth:`DeformableAttention.project`."""
    query_sum, query_normed = add_layer_norm(module.query_norm, query)
    features_sum, features_normed = add_layer_norm(module.feat_norm, features)
    return query_sum, features_sum, *module.attn.project(query_normed, features_normed)


class Injector(_CrossAttention):
    """Add features of the spatial prior to the ViT's patches: ``x + gamma * attention(x, c)``.

    Args:
        embed_dims: width C.
        num_heads, num_points, ratio: see :class:`~mmbeit3.models.layers.DeformableAttention`.
        num_levels: levels of the spatial prior.
        init_value: initial gamma; with 0, a pretrained ViT's output is unchanged at the start of training.
        compile_blocks: compile the token-wise work, see :func:`mmbeit3.ops.region`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_points: int,
        ratio: float,
        num_levels: int = 3,
        init_value: float = 0.0,
        compile_blocks: bool = False,
    ) -> None:
        super().__init__(embed_dims, num_levels, num_heads, num_points, ratio, compile_blocks)
        self.gamma = nn.Parameter(torch.full((embed_dims,), init_value))

    def forward(self, x: Tensor, c: Residual, points: Tensor, levels: Sequence[Grid]) -> tuple[Tensor, Residual]:
        """Update the ViT's patches.

        Args:
            x: patches (B, N, C).
            c: spatial prior (B, M, C), its levels concatenated, as a residual stream.
            points: the patches' positions on each level, (1, N, levels, 2).
            levels: the prior's grids.

        Returns:
            The updated patches (B, N, C), and the spatial prior to go on with.
        """
        x, prior, attended = self.attend(Residual(x), points, c, levels)
        return region(_inject, self.compile_blocks)(self, x, attended), Residual(prior)


def _inject(injector: Injector, x: Tensor, attended: Tensor) -> Tensor:
    """Add the attended features to the ViT's patches."""
    return x + injector.gamma * injector.attn.output_proj(attended)


class ConvFFN(nn.Module):
    """A feed-forward network with a depth-wise 3x3 convolution, shared by the scales of the spatial prior.

    Args:
        embed_dims: width C.
        hidden_dims: inner width.
    """

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.fc1 = Linear(embed_dims, hidden_dims)
        # The reference wraps the convolution in another module, so its key is ``dwconv.dwconv.weight``.
        self.dwconv = nn.ModuleDict(
            {"dwconv": nn.Conv2d(hidden_dims, hidden_dims, 3, padding=1, groups=hidden_dims)},
        )
        self.act = nn.GELU()
        self.fc2 = Linear(hidden_dims, embed_dims)

    def convolve(self, hidden: Tensor, levels: Sequence[Grid]) -> Tensor:
        """Convolve each scale of (B, M, hidden_dims)."""
        scales = hidden.split([grid.h * grid.w for grid in levels], dim=1)  # (B, h * w, hidden_dims) each
        # Tokens (B, h * w, C) viewed as maps (B, C, h, w) are channels-last: no copy is needed.
        convolved = [
            self.dwconv["dwconv"](scale.unflatten(1, grid.shape).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
            for scale, grid in zip(scales, levels, strict=True)
        ]
        return torch.cat(convolved, dim=1)  # (B, M, hidden_dims)


class Extractor(_CrossAttention):
    """Add the ViT's features to the spatial prior: ``c + attention(c, x)``, then a :class:`ConvFFN`.

    Args:
        embed_dims: width C.
        num_heads, num_points, ratio: see :class:`~mmbeit3.models.layers.DeformableAttention`.
        with_cffn: build the ConvFFN.
        cffn_ratio: inner width of the ConvFFN as a fraction of C.
        drop_path_rate: stochastic depth of the ConvFFN.
        compile_blocks: compile the token-wise work, see :func:`mmbeit3.ops.region`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_points: int,
        ratio: float,
        with_cffn: bool = True,
        cffn_ratio: float = 0.25,
        drop_path_rate: float = 0.0,
        compile_blocks: bool = False,
    ) -> None:
        super().__init__(embed_dims, 1, num_heads, num_points, ratio, compile_blocks)
        self.with_cffn = with_cffn
        if with_cffn:
            self.ffn = ConvFFN(embed_dims, int(embed_dims * cffn_ratio))
            self.ffn_norm = nn.LayerNorm(embed_dims, eps=_EPS)
            self.drop_path = DropPath(drop_path_rate)

    def forward(self, c: Residual, x: Tensor, points: Tensor, levels: Sequence[Grid], tokens: Grid) -> Residual:
        """Update the spatial prior.

        Args:
            c: spatial prior (B, M, C), its levels concatenated, as a residual stream.
            x: the ViT's patches (B, N, C).
            points: the positions of the prior's cells on the token grid, (1, M, 1, 2).
            levels: the prior's grids.
            tokens: the ViT's grid.

        Returns:
            The updated spatial prior (B, M, C).
        """
        prior, _, attended = self.attend(c, points, Residual(x), [tokens])
        if not self.with_cffn:
            return Residual(prior, self.attn.output_proj(attended))
        prior, hidden = region(_enter_ffn, self.compile_blocks)(self, prior, attended)
        branch, bias = region(_leave_ffn, self.compile_blocks)(self, self.ffn.convolve(hidden, levels))
        dropped = self.training and self.drop_path.drop_prob > 0
        factor = self.drop_path(prior.new_ones(len(prior), 1, 1)) if dropped else None  # (B, 1, 1)
        return Residual(prior, branch, factor, bias)


def _enter_ffn(extractor: Extractor, c: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
    """Return the spatial prior (B, M, C) with the attended features added, and the ConvFFN's hidden features."""
    branch, bias = apply_linear(extractor.attn.output_proj, attended)
    prior, normed = add_layer_norm(extractor.ffn_norm, Residual(c, branch, None, bias))
    return prior, extractor.ffn.fc1(normed)


def _leave_ffn(extractor: Extractor, convolved: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the branch (B, M, C) of the ConvFFN, and its bias."""
    return apply_linear(extractor.ffn.fc2, extractor.ffn.act(convolved))
