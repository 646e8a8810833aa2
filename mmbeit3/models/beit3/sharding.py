"""Which parts of a network are sharded, gathered and freed together when its weights are spread over ranks."""

from __future__ import annotations

from torch import nn

from mmbeit3.models.beit3.expert import AttentionProjections, FeedForward
from mmbeit3.models.beit3.model import BEiT3

__all__ = ["sharding_units"]


def sharding_units(model: nn.Module) -> list[nn.Module]:
    """The modules of a model that hold nearly all weights of its layers, and of its heads.

    Each of them is called as a module, once in a pass over all streams, which is when FSDP gathers its weights. What is in none
    of them (embeddings, norms, class token) is small, or used several times in a pass, and stays gathered for a whole step.

    Args:
        model: a :class:`~mmbeit3.models.beit3.BEiT3`, a tower of it, or something around one.

    Returns:
        Modules that do not contain each other, in the order of ``model.modules()``.
    """
    units: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, AttentionProjections):
            units += [module.qkv, module.out]
        elif isinstance(module, FeedForward):
            units.append(module)
        elif isinstance(module, BEiT3):
            units += [head for head in module.children() if isinstance(head, nn.Linear)]
    return units
