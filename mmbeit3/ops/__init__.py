"""Operators for which libraries lack an implementation on some device, or a fast one."""

from mmbeit3.ops.attention import attend
from mmbeit3.ops.deform_attn import fused_ms_deform_attn, ms_deform_attn
from mmbeit3.ops.linear import Linear, linear, replace_linears
from mmbeit3.ops.precision import wide_dtype, widened
from mmbeit3.ops.replace import replace_deform_attns, replace_layers

__all__ = [
    "Linear",
    "attend",
    "fused_ms_deform_attn",
    "linear",
    "ms_deform_attn",
    "replace_deform_attns",
    "replace_layers",
    "replace_linears",
    "wide_dtype",
    "widened",
]
