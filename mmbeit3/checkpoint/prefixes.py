"""Prefixes of tensor names: where a network is inside a larger model, and so inside its checkpoint.

This module holds the only table of these prefixes; loading, converting, layouts and layer decay all use it.

==============================  ======================  ===============================================
model                           prefix                  example
==============================  ======================  ===============================================
detector or segmentor           ``backbone.``           ``backbone.layers.0.attn.qkv.weight``
task or pretraining model       ``network.``            ``network.vision.layers.0.attn.qkv.weight``
ViT-Adapter                     ``vit.``                ``vit.layers.0.attn.qkv.weight``
detector with a ViT-Adapter     ``backbone.vit.``       ``backbone.vit.layers.0.attn.qkv.weight``
``TimmViT``                     ``model.``              ``model.blocks.0.attn.qkv.weight``
adapter around ``TimmViT``      ``vit.model.``          ``vit.model.blocks.0.attn.qkv.weight``
``BEiT3``, the whole network    ``vision.`` and others  ``vision.layers.0.attn.qkv.weight``
``BEiT3Vision``, a bare tower   none                    ``layers.0.attn.qkv.weight``
==============================  ======================  ===============================================

The functions use names alone. They know no model class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from torch import nn

__all__ = [
    "ADAPTER_VIT",
    "BACKBONE",
    "BACKBONE_OR_BARE",
    "BARE_TOWERS",
    "FIRST_PARTS",
    "NETWORK",
    "NETWORK_PARTS",
    "OWNERS",
    "TIMM_MODEL",
    "TOWERS",
    "VISION_TOWERS",
    "name_as_network",
    "name_in_tower",
    "owner_prefix",
    "prefixes_before",
    "rename_tower",
    "split_by_prefix",
    "split_owner",
]

BACKBONE = "backbone."
"""Prefix of the backbone in a detector or segmentor."""

NETWORK = "network."
"""Prefix of the network in a task model or a pretraining model."""

ADAPTER_VIT = "vit."
"""Prefix of the ViT in a ViT-Adapter."""

TIMM_MODEL = "model."
"""Prefix of timm's model in ``TimmViT``."""

OWNERS = (BACKBONE, NETWORK)
"""Prefixes of the network in a larger model, which has other parts such as a neck and a head."""

BACKBONE_OR_BARE = (BACKBONE, "")
"""Prefixes of a backbone: in a detector or segmentor, and in a file of the backbone alone."""

BARE_TOWERS = (ADAPTER_VIT, "")
"""Prefixes of BEiT-3's vision tower in a backbone: in a ViT-Adapter, and as the backbone itself."""

VISION_TOWERS = (BACKBONE + ADAPTER_VIT, BACKBONE, ADAPTER_VIT, "")
"""All prefixes of BEiT-3's vision tower outside the whole network; the longest comes first."""

TOWERS = ("vision", "language")
"""Towers of the whole network, ``BEiT3``."""

NETWORK_PARTS = (*TOWERS, "fusion_ffns")
"""Submodules of the whole network, ``BEiT3``."""

FIRST_PARTS = frozenset(
    (
        *(prefix.removesuffix(".") for prefix in (*OWNERS, ADAPTER_VIT)),
        *(*TOWERS, "embed", "layers"),
        # Other projects' layouts, and the head of official pretraining files.
        *("beit3", "blocks", "encoder", "mlm_head"),
    )
)
"""First parts of the names of known networks. A training program's wrapper has another name, see :mod:`.wrapping`."""

_TOWER_PARTS = r"(?:embed|layers|norm)\."
"""Submodules of a tower. A ViT-Adapter's own parts (``level_embed``, ``spm.``, ``norm1.``) do not match."""

# As a backbone, with or without an adapter and TimmViT, or as a tower of the whole network, wherever that is.
_ANY_TOWER = re.compile(
    rf"^(?:{re.escape(BACKBONE)}(?:{re.escape(ADAPTER_VIT)})?(?:{re.escape(TIMM_MODEL)})?|(?:.*\.)?(?:{'|'.join(TOWERS)})\.)"
)

T = TypeVar("T")


def split_by_prefix(state: Mapping[str, T], prefix: str) -> tuple[dict[str, T], dict[str, T]]:
    """Split a state dict in two: the entries with a prefix, which is removed, and the other entries."""
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return inside, {name: value for name, value in state.items() if not name.startswith(prefix)}


def split_owner(state: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Split a larger model's state dict into its network, without the prefix in :data:`OWNERS`, and its other parts.

    A state dict without such a prefix is the network itself.
    """
    for prefix in OWNERS:
        inside, outside = split_by_prefix(state, prefix)
        if inside:
            return inside, outside
    return dict(state), {}


def owner_prefix(model: nn.Module) -> str:
    """Return the prefix in :data:`OWNERS` under which a model has its network, or an empty string."""
    return next((prefix for prefix in OWNERS if isinstance(getattr(model, prefix.removesuffix("."), None), nn.Module)), "")


def rename_tower(state: Mapping[str, T], prefixes: Iterable[str] = VISION_TOWERS) -> dict[str, T]:
    """Rename BEiT-3's vision tower as in the whole network, e.g. ``vit.layers.0.…`` to ``vision.layers.0.…``.

    Args:
        state: names to values.
        prefixes: prefixes where the tower may be. The first one that has an embedding is the tower's.

    Returns:
        The state dict with the tower renamed; other names are unchanged.
    """
    for prefix in prefixes:
        if any(name.startswith(f"{prefix}embed.") for name in state):
            tower = re.compile(rf"^{re.escape(prefix)}(?={_TOWER_PARTS})")
            return {tower.sub("vision.", name): value for name, value in state.items()}
    return dict(state)


def name_as_network(state: Mapping[str, T]) -> dict[str, T]:
    """Rename a network inside any larger model as in the whole network, ``BEiT3``; other names are unchanged."""
    if any(name.startswith(f"{NETWORK}vision.") for name in state):
        return {name.removeprefix(NETWORK): value for name, value in state.items()}
    return rename_tower(state)


def name_in_tower(name: str) -> str | None:
    """Return a parameter's name relative to its tower, or None if it is in no tower.

    ``backbone.vit.layers.3.ffn.fc1.weight`` gives ``layers.3.ffn.fc1.weight``.
    """
    match = _ANY_TOWER.match(name)
    return None if match is None else name[match.end() :]


def prefixes_before(names: Iterable[str], ending: str) -> list[str]:
    """Return the prefixes of all names that end in ``ending``, e.g. ``vit.model.`` for ``patch_embed.proj.weight``."""
    return [name.removesuffix(ending) for name in names if name == ending or name.endswith(f".{ending}")]
