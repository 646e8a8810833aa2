"""Mask2Former's pixel decoder, with sizes as Python numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers import MSDeformAttnPixelDecoder as MMDetPixelDecoder
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.heads.positions import level_geometry, sine_positions

__all__ = ["MSDeformAttnPixelDecoder"]


class MSDeformAttnPixelDecoder(MMDetPixelDecoder):
    """mmdet's ``MSDeformAttnPixelDecoder`` with the same arguments, parameters and results.

    mmdet keeps the sizes of the maps in tensors, and makes the host wait for the GPU whenever it reads them.
    """

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute the maps for the masks and for the queries.

        Args:
            feats: (B, C, h, w) of each level, high resolution first.

        Returns:
            (B, out_channels, h, w) with the resolution of the first level, and ``num_outs`` maps, low resolution first.
        """
        coarse = list(feats[::-1][: self.num_encoder_levels])
        shapes = [(level.shape[2], level.shape[3]) for level in coarse]
        sizes = [h * w for h, w in shapes]
        device = feats[0].device
        tokens, positions = [], []
        for index, (level, shape) in enumerate(zip(coarse, shapes, strict=True)):
            tokens.append(self.input_convs[index](level).flatten(2).transpose(1, 2))
            encoded = sine_positions(self.postional_encoding, shape, device)
            positions.append(encoded + self.level_encoding.weight[index])
        points, level_shapes, starts = level_geometry(shapes, device)
        memory = self.encoder(
            query=torch.cat(tokens, dim=1),
            query_pos=torch.cat(positions, dim=1),  # (1, S, C)
            key_padding_mask=None,
            spatial_shapes=level_shapes,
            reference_points=points.expand(len(feats[0]), -1, -1, -1),
            level_start_index=starts,
            valid_ratios=None,
        )  # (B, S, C)
        parts = memory.transpose(1, 2).split(sizes, dim=2)
        maps = [part.unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]
        # The levels that the encoder does not see, low resolution first.
        for level, lateral, output in zip(
            feats[: -self.num_encoder_levels][::-1], self.lateral_convs, self.output_convs, strict=True
        ):
            side = lateral(level)
            enlarged = F.interpolate(maps[-1], size=side.shape[2:], mode="bilinear", align_corners=False)
            maps.append(output(side + enlarged))
        return self.mask_feature(maps[-1]), maps[: self.num_outs]
