"""mmcv's layer of deformable attention with mmbeit3's fused function. Importing this module imports ``mmcv.ops``."""

from __future__ import annotations

from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor

from mmbeit3.ops.deform_attn import fused_ms_deform_attn
from mmbeit3.ops.exporting import portable

__all__ = ["FusedMultiScaleDeformableAttention"]


class FusedMultiScaleDeformableAttention(MultiScaleDeformableAttention):
    """``mmcv.ops.MultiScaleDeformableAttention`` whose softmax, locations and sampling are one kernel on GPUs.

    Arguments, parameters and their names are the same. In half precision, locations are computed in float32, which mmcv rounds
    to the dtype of the values. On GPUs the host does not wait for ``spatial_shapes``: if they do not fit the value, the output
    is NaN, where mmcv raises an error.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Attend from queries to the values of all levels.

        Args:
            query: (Q, B, C), or (B, Q, C) if ``batch_first``.
            key: not used.
            value: (S, B, C), or (B, S, C) if ``batch_first``; default the query.
            identity: added to the result; default the query without its position. An older name is ``residual``.
            query_pos: added to the query.
            key_padding_mask: (B, S), True where the value is 0.
            reference_points: (1 or B, Q, levels, 2), points (x, y) with 0 to 1 spanning the level's map, or
                (1 or B, Q, levels, 4), boxes (x, y, w, h).
            spatial_shapes: (levels, 2), height and width of each level.
            level_start_index: not used, as it follows from the shapes.

        Returns:
            The shape of ``query``.

        Raises:
            ValueError: if ``reference_points`` or ``spatial_shapes`` are missing, or shapes disagree.
        """
        if reference_points is None or spatial_shapes is None:
            raise ValueError("deformable attention needs reference_points and spatial_shapes")
        if identity is None:
            identity = kwargs.get("residual", query)
        if portable():
            # An exported graph keeps the operators that mmcv's own code has.
            return super().forward(
                query, key, value, identity, query_pos, key_padding_mask, reference_points, spatial_shapes, level_start_index
            )
        if value is None:
            value = query
        if query_pos is not None:
            query = query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        B, Q, _ = query.shape
        projected = self.value_proj(value)  # (B, S, heads * d)
        if key_padding_mask is not None:
            projected = projected.masked_fill(key_padding_mask[..., None], 0.0)
        attended = fused_ms_deform_attn(
            projected.view(B, value.shape[1], self.num_heads, -1),
            spatial_shapes,
            reference_points,
            self.sampling_offsets(query).view(B, Q, self.num_heads, self.num_levels, self.num_points, 2),
            self.attention_weights(query).view(B, Q, self.num_heads, self.num_levels * self.num_points),
        )
        output = self.output_proj(attended)  # (B, Q, C)
        if not self.batch_first:
            output = output.transpose(0, 1)
        return self.dropout(output) + identity
