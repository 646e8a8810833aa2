"""Multi-scale deformable attention: two functions, several kernels."""

from mmbeit3.ops.deform_attn.function import KERNELS, fused_ms_deform_attn, ms_deform_attn, usable_kernels
from mmbeit3.ops.deform_attn.locations import locations_and_weights

__all__ = ["KERNELS", "fused_ms_deform_attn", "locations_and_weights", "ms_deform_attn", "usable_kernels"]
