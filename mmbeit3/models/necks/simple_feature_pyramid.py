"""Feature pyramid from a single map (ViTDet, arXiv 2203.16527)."""

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
    """Feature pyramid from the last map of a plain backbone.

    Scale 4 uses two transposed convolutions with a norm and GELU in between, scale 2 one transposed convolution, scale 1
    nothing and scale 0.5 max pooling. A 1x1 and a 3x3 convolution follow, each with a norm. Further levels subsample the
    smallest map by 2. Half of an odd side is rounded up, so a map of one cell works, too.

    Args:
        in_channels: channels of the backbone's map.
        out_channels: channels of every level.
        scale_factors: scale of each level relative to the backbone's map: 4, 2, 1 or 0.5.
        num_outs: number of levels, at least the number of scales.
        norm_cfg: norm of the convolutions; default layer norm over the channels.
        init_cfg: see MMEngine's ``BaseModule``.

    Raises:
        ValueError: for other scales, or if ``num_outs`` is less than the number of scales.
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
        """Compute ``num_outs`` contiguous maps, finest first, from the last of the backbone's maps, (B, C, h, w)."""
        # Layer norm returns channels-last maps, but mmcv's compiled ops read memory as NCHW without a check.
        maps = [level(inputs[-1]).contiguous() for level in self.levels]
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return tuple(maps)


def _resize(channels: int, scale: float, norm_cfg: dict[str, Any]) -> tuple[list[nn.Module], int]:
    """Return layers that resize a map by ``scale``, and their number of output channels."""
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
    raise ValueError(f"scale_factors must be 4, 2, 1 or 0.5, got {scale}")
