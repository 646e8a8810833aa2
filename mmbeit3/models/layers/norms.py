"""Norms for ``norm_cfg``, and a check for layers of mmcv's compiled operators."""

from timm.layers import LayerNorm2d
from torch import nn

from mmbeit3.registry import MODELS

__all__ = ["LN2d", "reads_raw_memory"]

LN2d = LayerNorm2d
"""Layer norm over the channels of (B, C, H, W), timm's; ``norm_cfg=dict(type='mmbeit3.LN2d')``."""

MODELS.register_module(name="LN2d", module=LN2d)


def reads_raw_memory(module: nn.Module) -> bool:
    """Whether a module has layers of mmcv's compiled operators, which read memory as NCHW without a check.

    Among norms this is ``MMSyncBN``, with which MMEngine's ``sync_bn='mmcv'`` also replaces other norms.
    """
    return any(type(layer).__module__.startswith("mmcv.ops") for layer in module.modules())
