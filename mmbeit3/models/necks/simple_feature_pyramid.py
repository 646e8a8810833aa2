"""A feature pyramid from one map (ViTDet, arXiv 2203.16527)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.registry import MODELS

__all__ = ["SimpleFeaturePyramid"]


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Maps at several scales from the last map of a plain backbone.

    Scale 4 is two transposed convolutions with norm and GELU between, 2 is one, 1 nothing, 0.5 max pooling; each is followed by
    a 1x1 and a 3x3 convolution with norm. Further levels are the smallest map subsampled by 2. Of odd sides the half is rounded
    up, so a map of one cell is a pyramid, too.

    Args:
        in_channels: channels of the backbone's map.
        out_channels: channels of every level.
        scale_factors: of each level, relative to the backbone's map; of 4, 2, 1 and 0.5.
        num_outs: number of levels, at least as many as scales.
        norm_cfg: norm of the convolutions.
        init_cfg: MMEngine's.

    Raises:
        ValueError: for another scale, or fewer levels than scales.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scale_factors: Sequence[float] = (4.0, 2.0, 1.0, 0.5),
        num_outs: int = 5,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = {"type": "mmbeit3.LN2d", "eps": 1e-6} if norm_cfg is None else norm_cfg
        if num_outs < len(scale_factors):
            raise ValueError(f"num_outs ({num_outs}) is less than the number of scale_factors ({len(scale_factors)})")
        self.num_outs = num_outs
        self.levels = nn.ModuleList()
        for scale in scale_factors:
            resize, channels = _resize(in_channels, scale, norm_cfg)
            self.levels.append(
                nn.Sequential(
                    *resize,
                    ConvModule(channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None),
                    ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None),
                )
            )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn the backbone's maps, of which the last (B, C, h, w) is used, into ``num_outs`` contiguous maps, finest first."""
        # Layer norm leaves maps channels-last; mmcv's compiled operators read their memory as NCHW and check nothing.
        maps = [level(inputs[-1]).contiguous() for level in self.levels]
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return tuple(maps)


def _resize(channels: int, scale: float, norm_cfg: dict[str, Any]) -> tuple[list[nn.Module], int]:
    """Layers that change a map's size by ``scale``, and their output channels."""
    half = channels // 2
    if scale == 4:
        layers = [
            nn.ConvTranspose2d(channels, half, 2, 2),
            build_norm_layer(norm_cfg, half)[1],
            nn.GELU(),
            nn.ConvTranspose2d(half, half // 2, 2, 2),
        ]
        return layers, half // 2
    if scale == 2:
        return [nn.ConvTranspose2d(channels, half, 2, 2)], half
    if scale == 1:
        return [], channels
    if scale == 0.5:
        return [nn.MaxPool2d(2, 2, ceil_mode=True)], channels
    raise ValueError(f"scale_factors must be of 4, 2, 1 and 0.5, got {scale}")
