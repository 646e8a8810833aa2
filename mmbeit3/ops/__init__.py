"""Operators that the models need and that no library gives everywhere."""

from mmbeit3.ops.deform_attn import ms_deform_attn

__all__ = ["ms_deform_attn"]
