"""Multi-scale deformable attention: one function, several kernels."""

from mmbeit3.ops.deform_attn.function import KERNELS, ms_deform_attn, usable_kernels

__all__ = ["KERNELS", "ms_deform_attn", "usable_kernels"]
