"""Operators for which libraries lack an implementation on some device, or a fast one."""

from mmbeit3.ops.attention import attend
from mmbeit3.ops.deform_attn import fused_ms_deform_attn, ms_deform_attn
from mmbeit3.ops.layer_norm import Residual, add_layer_norm, apply_linear, gelu_layer_norm
from mmbeit3.ops.linear import Linear, joint_linear, linear, replace_linears
from mmbeit3.ops.precision import wide_dtype, widened
from mmbeit3.ops.regions import call_module, region, switches
from mmbeit3.ops.replace import replace_deform_attns, replace_layers

__all__ = [
    "Linear",
    "Residual",
    "add_layer_norm",
    "apply_linear",
    "attend",
    "call_module",
    "fused_ms_deform_attn",
    "gelu_layer_norm",
    "joint_linear",
    "linear",
    "ms_deform_attn",
    "region",
    "replace_deform_attns",
    "replace_layers",
    "replace_linears",
    "switches",
    "wide_dtype",
    "widened",
]
