"""The modules that fully sharded data parallel (FSDP) wraps."""

from __future__ import annotations

from torch import nn

from mmbeit3.models.beit3.expert import AttentionProjections, FeedForward
from mmbeit3.models.beit3.model import BEiT3

__all__ = ["sharding_units"]


def sharding_units(model: nn.Module) -> list[nn.Module]:
    """List the modules with nearly all weights of the layers and heads, as units that FSDP gathers and frees.

    FSDP gathers the weights when a unit is called; :func:`~mmbeit3.models.beit3.run_layer` calls each unit once per pass.
    Other weights (embeddings, norms, class token) are small or used several times in a pass. They stay gathered for the whole
    step.

    Args:
        model: a :class:`~mmbeit3.models.beit3.BEiT3`, one of its towers, or a module that contains one.

    Returns:
        Disjoint modules, in the order of ``model.modules()``.
    """
    units: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, AttentionProjections):
            units += [module.qkv, module.out]
        elif isinstance(module, FeedForward):
            units += [module.fc1, module.fc2]
        elif isinstance(module, BEiT3):
            units += [head for head in module.children() if isinstance(head, nn.Linear)]
    return units
