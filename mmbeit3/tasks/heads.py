"""What the heads of the tasks' networks have in common: how they start, and what a task leaves without use."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mmbeit3.models.beit3 import BEiT3, Tower, truncated_normal_

__all__ = ["freeze_unreached", "init_linears"]


@torch.no_grad()
def init_linears(module: nn.Module, scale: float = 1.0, init: str = "beit") -> None:
    """Initialise all matrices of a head as the reference does: truncated normal of deviation 0.02, biases zero.

    Args:
        module: the head.
        scale: factor of the matrices; the reference has 0.001 where predictions shall start equal.
        init: the network's; under ``'magneto'`` matrices are Xavier's, without the factor, for the same reason as there.
    """
    for linear in (part for part in module.modules() if isinstance(part, nn.Linear)):
        if init == "magneto":
            nn.init.xavier_normal_(linear.weight)
        else:
            truncated_normal_(linear.weight).mul_(scale)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


def freeze_unreached(network: BEiT3, text_read: bool = True) -> None:
    """Take out of training what pairs never reach, since distributed training wants a gradient for all that is trained.

    Frozen are the mask token and, where pairs have vision-language FFNs, the towers' own FFNs of these layers. The weights
    stay, so that files come and go whole.

    Args:
        network: a network that only ever sees pairs.
        text_read: whether the head reads the text's last states; if not, what the last layer makes of them is frozen, too.
    """
    cast(Tensor, network.vision.embed.mask_token).requires_grad_(False)
    for index in network.fusion_ffns:
        _freeze_ffn(network.vision, int(index))
        _freeze_ffn(network.language, int(index))
    if text_read:
        return
    attention = network.language.experts[-1].attn
    # Queries are part of the same matrix as keys and values, which the image reads.
    if attention is not network.vision.experts[-1].attn:
        attention.inner_norm.requires_grad_(False)
        attention.out.requires_grad_(False)
    if not network.fusion_ffns:
        _freeze_ffn(network.language, -1)


def _freeze_ffn(tower: Tower, index: int) -> None:
    tower.experts[index].ffn.requires_grad_(False)
