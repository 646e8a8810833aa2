"""Make the layers of a model, such as a detection head's, use mmbeit3's operators."""

from __future__ import annotations

import sys

from torch import nn

from mmbeit3.ops.linear import replace_linears

__all__ = ["replace_deform_attns", "replace_layers"]


def replace_layers(model: nn.Module) -> int:
    """Replace linear layers and deformable attention, see :func:`replace_linears` and :func:`replace_deform_attns`.

    Returns:
        Number of changed layers.
    """
    return replace_linears(model) + replace_deform_attns(model)


def replace_deform_attns(model: nn.Module) -> int:
    """Make every ``mmcv.ops.MultiScaleDeformableAttention`` of a model use :func:`mmbeit3.ops.fused_ms_deform_attn`.

    The pixel decoder of Mask2Former and the family of Deformable DETR have such layers. Works in place. Parameters, their names
    and results do not change; subclasses are skipped.

    Returns:
        Number of changed layers.
    """
    # A model can have the layer only if its module is loaded, which takes mmcv's ops or mmbeit3's replacements of them.
    if "mmcv.ops.multi_scale_deform_attn" not in sys.modules:
        return 0
    from mmbeit3.ops.mmcv_ext.layer import FusedMultiScaleDeformableAttention, MultiScaleDeformableAttention

    plain = [module for module in model.modules() if type(module) is MultiScaleDeformableAttention]
    for module in plain:
        module.__class__ = FusedMultiScaleDeformableAttention
    return len(plain)
