"""One setting for the size of a ViT-Adapter's ViT. The blocks, widths and weights that depend on it follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.models.beit3.arch import ARCHS, get_arch
from mmbeit3.resources import path_of

__all__ = ["set_arch"]

_FILES = {"tiny": ("adapter-t",), "base": ("adapter-b",), "large": ("adapter-l",), "giant": ("adapter-l", "adapter-g")}
"""Files in ``configs/_base_/models`` that have the adapter of each size. Later ones are merged into earlier ones."""

_REGULARISATION = {
    "tiny": {"box": (0.0, 1.0), "pixel": (0.0, 1.0)},
    "base": {"box": (0.2, 0.65), "pixel": (0.2, 0.95)},
    "large": {"box": (0.4, 0.8), "pixel": (0.3, 0.9)},
    "giant": {"box": (0.5, 0.9), "pixel": (0.5, 0.95)},
}
"""Drop path and layer decay of detectors and segmentors: base and large as in ViT-Adapter's recipes, giant as in the paper."""

_HEADS = ("neck", "decode_head", "auxiliary_head", "panoptic_head")


def set_arch(cfg: Config, arch: str, decay: bool = True) -> None:
    """Change the size of the ViT in a config whose backbone is a ViT-Adapter with BEiT-3, in place.

    The interactions, the global blocks among windows, deformable heads, drop path, the released weights, the input widths of
    the neck and heads, and the layer decay follow. The learning rate and the widths inside heads do not change.

    Args:
        cfg: a complete config of mmdet or mmseg.
        arch: ``tiny``, ``base``, ``large`` or ``giant``.
        decay: also set the layer decay of the optimizer.

    Raises:
        UserError: for an unknown size, or another backbone.
    """
    if arch not in _FILES:
        raise UserError(f"arch is {arch!r}: choose one of {', '.join(_FILES)}")
    backbone: Any = cfg.model.get("backbone")
    vit: Any = backbone.get("vit") if isinstance(backbone, dict) else None
    if not isinstance(vit, dict) or vit.get("type") != "mmbeit3.BEiT3Vision":
        found = vit.get("type") if isinstance(vit, dict) else backbone.get("type") if isinstance(backbone, dict) else None
        raise UserError(
            f"arch={arch!r} needs a ViT-Adapter with BEiT-3 (model.backbone.vit.type='mmbeit3.BEiT3Vision'), but the config "
            f"has {found}: remove arch, and set the size in the backbone"
        )
    old = get_arch(vit["arch"])
    name = next((name for name, known in ARCHS.items() if known.embed_dims == old.embed_dims), "base")
    _replace_size(backbone, _read_adapter(name), _read_adapter(arch))
    new = ARCHS[arch]
    if vit.get("window_size"):
        vit["global_indices"] = tuple(last for _, last in backbone["interaction_indexes"])
    for head in _HEADS:
        if isinstance(cfg.model.get(head), Mapping):
            cfg.model[head]["in_channels"] = _new_width(cfg.model[head]["in_channels"], old.embed_dims, new.embed_dims)
    drop_path, layer_decay = _REGULARISATION[arch]["pixel" if "decode_head" in cfg.model else "box"]
    backbone["drop_path_rate"] = vit["drop_path_rate"] = drop_path
    if decay:
        cfg.optim_wrapper.setdefault("paramwise_cfg", {})["layer_decay_rate"] = layer_decay


def _replace_size(backbone: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Replace what depends on the size. Settings that the config changed from the old size's own stay."""
    vit = backbone["vit"]
    for target, before, after in ((backbone, old, new), (vit, old["vit"], new["vit"])):
        for key in sorted((set(before) | set(after)) - {"type", "vit", "image_size", "drop_path_rate"}):
            if key not in ("arch", "interaction_indexes") and target.get(key) != before.get(key):
                continue
            if key in after:
                target[key] = after[key]
            else:
                target.pop(key, None)


def _read_adapter(arch: str) -> Mapping[str, Any]:
    """Read the adapter of a size from its files in ``configs/_base_/models``."""
    merged = Config({})
    for file in _FILES[arch]:
        part = Config.fromfile(path_of(f"configs/_base_/models/{file}.py"))
        merged.merge_from_dict({"adapter": part.adapter.to_dict()})
    adapter: Mapping[str, Any] = merged.adapter
    return adapter


def _new_width(channels: Any, old: int, new: int) -> Any:
    if isinstance(channels, list | tuple):
        return [_new_width(one, old, new) for one in channels]
    return new if channels == old else channels
