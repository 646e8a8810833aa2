"""Layer norms fused with residual additions and GELU."""

from mmbeit3.ops.layer_norm.function import Residual, add_layer_norm, apply_linear, gelu_layer_norm

__all__ = ["Residual", "add_layer_norm", "apply_linear", "gelu_layer_norm"]
