"""Norms for ``norm_cfg``, and a check for layers that use mmcv's compiled ops."""

from timm.layers import LayerNorm2d
from torch import nn

from mmbeit3.registry import MODELS

__all__ = ["LN2d", "reads_raw_memory"]

LN2d = LayerNorm2d
"""timm's layer norm over the channels of (B, C, H, W). In a config: ``norm_cfg=dict(type='mmbeit3.LN2d')``."""

MODELS.register_module(name="LN2d", module=LN2d)


def reads_raw_memory(module: nn.Module) -> bool:
    """Return True if a module has layers with mmcv's compiled ops, which read memory as NCHW without a check.

    The only such norm is ``MMSyncBN``. MMEngine's ``sync_bn='mmcv'`` replaces other norms by it.
    """
    return any(type(layer).__module__.startswith("mmcv.ops") for layer in module.modules())
