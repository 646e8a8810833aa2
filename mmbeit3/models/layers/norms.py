"""Norms that configs can name in ``norm_cfg``."""

from timm.layers import LayerNorm2d

from mmbeit3.registry import MODELS

__all__ = ["LN2d"]

LN2d = LayerNorm2d
"""Layer norm over the channels of (B, C, H, W), timm's; ``norm_cfg=dict(type='mmbeit3.LN2d')``."""

MODELS.register_module(name="LN2d", module=LN2d)
