"""Folding of batch norms into the convolutions before them, for models that only predict."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norms"]


def fold_batch_norms(model: nn.Module) -> int:
    """Fold batch norms into the convolutions before them, in place. Results change by rounding only.

    Pairs are found where their order is certain: neighbours in ``nn.Sequential``, and mmcv's ``ConvModule`` in its usual order.
    The folded norms become ``nn.Identity``, so the model can no longer be trained, nor load a checkpoint.

    Args:
        model: a model in evaluation mode.

    Returns:
        Number of folded norms.

    Raises:
        ValueError: if the model is in training mode.
    """
    if model.training:
        raise ValueError("batch norms of a model in training mode cannot be folded: call model.eval() first")
    mmcv = sys.modules.get("mmcv.cnn")
    pairs: list[tuple[nn.Module, str, str]] = []
    for part in model.modules():
        if isinstance(part, nn.Sequential):
            names = list(part._modules)
            pairs += [(part, *pair) for pair in pairwise(names)]
        elif mmcv is not None and type(part) is mmcv.ConvModule:
            module: Any = part
            if module.with_norm and module.order[:2] == ("conv", "norm"):
                pairs.append((part, "conv", module.norm_name))
    return sum(_fold(*pair) for pair in pairs)


def _fold(parent: nn.Module, conv_name: str, norm_name: str) -> bool:
    conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
    # Subclasses may compute something else.
    if type(conv) is not nn.Conv2d or type(norm) not in (nn.BatchNorm2d, nn.SyncBatchNorm) or norm.running_mean is None:
        return False
    if norm.weight is None or conv.out_channels != norm.num_features:
        return False
    setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
    setattr(parent, norm_name, nn.Identity())
    return True
