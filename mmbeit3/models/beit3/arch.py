"""Sizes and variants of the BEiT-3 network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["ARCHS", "Arch", "get_arch"]


@dataclass(frozen=True)
class Arch:
    """Size and variant of a BEiT-3 network.

    Defaults are the values of all released models (paper appendix and released configuration).

    Attributes:
        embed_dims: width C of the residual stream.
        num_layers: number of layers in each tower.
        num_heads: attention heads; ``embed_dims`` must be a multiple of it.
        ffn_dims: hidden width of the feed-forward networks.
        patch_size: side of a square image patch, in pixels.
        image_size: side in pixels of the square image whose patch grid the position table has.
        vocab_size: rows of the word table.
        max_text_positions: rows of the text position table, including two unused ones.
        attention: ``'decoupled'``: each tower has its own attention weights (released models); ``'shared'``: the towers use
            one set of attention weights and attention norms (the paper).
        num_fusion_layers: number of last layers that use a vision-language FFN instead of both towers' FFNs if both modalities
            are given (0 in the released models, 3 in the paper).
        layer_norm_eps: epsilon of every layer norm.
        init: initialisation, see :func:`~mmbeit3.models.beit3.init_beit3`: ``'beit'`` (the paper), or ``'magneto'``, with which
            small and narrow networks learn several times as fast.
    """

    embed_dims: int
    num_layers: int
    num_heads: int
    ffn_dims: int
    patch_size: int = 16
    image_size: int = 224
    vocab_size: int = 64010
    max_text_positions: int = 1024
    attention: str = "decoupled"
    num_fusion_layers: int = 0
    layer_norm_eps: float = 1e-5
    init: str = "beit"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                least = 0 if field.name == "num_fusion_layers" else 1
                if not isinstance(value, int) or value < least:
                    raise ValueError(f"arch: {field.name} must be an integer of at least {least}, got {value!r}")
        if self.embed_dims % self.num_heads:
            raise ValueError(f"arch: embed_dims ({self.embed_dims}) must be a multiple of num_heads ({self.num_heads})")
        if self.attention not in ("decoupled", "shared"):
            raise ValueError(f"arch: attention must be 'decoupled' or 'shared', got {self.attention!r}")
        if self.init not in ("beit", "magneto"):
            raise ValueError(f"arch: init must be 'beit' or 'magneto', got {self.init!r}")
        if self.num_fusion_layers > self.num_layers:
            raise ValueError(f"arch: num_fusion_layers ({self.num_fusion_layers}) exceeds num_layers ({self.num_layers})")

    def with_changes(self, **changes: Any) -> Arch:
        """Return a copy with the given attributes changed."""
        return replace(self, **changes)

    def position_grid(self) -> tuple[int, int]:
        """Rows and columns of the image position table's patch grid."""
        side = self.image_size // self.patch_size
        return side, side


ARCHS: dict[str, Arch] = {
    # For demos and tests, not from the paper: small enough to train on two CPU cores.
    "tiny": Arch(embed_dims=192, num_layers=8, num_heads=3, ffn_dims=768, max_text_positions=64),
    "base": Arch(embed_dims=768, num_layers=12, num_heads=12, ffn_dims=3072),
    "large": Arch(embed_dims=1024, num_layers=24, num_heads=16, ffn_dims=4096),
    # Tables 2 and 3 of the paper. Its weights were never released.
    "giant": Arch(embed_dims=1408, num_layers=40, num_heads=16, ffn_dims=6144, patch_size=14),
}


def get_arch(arch: str | Mapping[str, Any] | Arch, **changes: Any) -> Arch:
    """Resolve an architecture given by name, as a mapping of :class:`Arch` attributes, or as an :class:`Arch`.

    A mapping may hold ``base='tiny'`` (or another name) to change only some attributes of a named size.

    Args:
        arch: name, mapping or :class:`Arch`.
        **changes: attributes to change; ``None`` values are ignored.

    Raises:
        ValueError: for an unknown name or attribute, or inconsistent sizes. The message lists the known names.
    """
    if isinstance(arch, Arch):
        resolved = arch
    elif isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f"unknown arch {arch!r}: choose one of {', '.join(ARCHS)}, or give a dict of sizes")
        resolved = ARCHS[arch]
    elif isinstance(arch, Mapping):
        values = dict(arch)
        base = values.pop("base", None)
        known = {field.name for field in fields(Arch)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"arch: unknown {', '.join(unknown)}; choose from {', '.join(sorted(known))}")
        if base is not None:
            resolved = get_arch(base).with_changes(**values)
        else:
            required = {"embed_dims", "num_layers", "num_heads", "ffn_dims"}
            if missing := sorted(required - set(values)):
                raise ValueError(f"arch: {', '.join(missing)} missing: add them, or start from a named size with base=")
            resolved = Arch(**values)
    else:
        raise ValueError(f"arch must be a name, a dict or an Arch, got {type(arch).__name__}")
    changes = {key: value for key, value in changes.items() if value is not None}
    return resolved.with_changes(**changes) if changes else resolved
