"""Layers that several models use."""

from mmbeit3.models.layers.deform_attention import DeformableAttention
from mmbeit3.models.layers.norms import LN2d, reads_raw_memory

__all__ = ["DeformableAttention", "LN2d", "reads_raw_memory"]
