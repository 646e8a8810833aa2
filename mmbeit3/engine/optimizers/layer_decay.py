"""Layer-wise learning-rate decay: the learning rate grows from layer to layer up to the full rate (BEiT, arXiv 2106.08254)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from mmbeit3.checkpoint.prefixes import BACKBONE, name_in_tower
from mmbeit3.registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ["LayerDecayOptimWrapperConstructor", "layer_depth", "num_layers_of"]

# Names relative to a tower, see name_in_tower: of BEiT-3 (embed., layers., norm.) and of timm's ViTs.
_EMBEDDING = re.compile(
    r"^(?:embed\.|patch_embed\.|norm_pre\.|(?:cls|reg|mask|dist|storage)_tokens?$|register_tokens$|pos_embed$|rope\.)"
)
_LAYER = re.compile(r"^(?:layers|blocks)\.(\d+)\.")
_FUSION = re.compile(r"(?:^|\.)fusion_ffns\.(\d+)\.")
_FINAL = re.compile(r"^(?:norm|fc_norm)\.")
# Parts of a ViT-Adapter outside its ViT.
_ADAPTER = re.compile(rf"^{re.escape(BACKBONE)}(?:level_embed$|spm\.|interactions\.|up\.|norm[1-4]\.)")
_UNDECAYED = re.compile(
    r"(?:^|\.)(?:positions|pos_embed|(?:cls|reg|mask|dist|storage)_tokens?|register_tokens|backbone\.level_embed|logit_scale)$"
)
"""Parameters without weight decay that are not vectors."""


def layer_depth(name: str, num_layers: int) -> int:
    """Return the depth of a parameter, from its name.

    Args:
        name: full name, e.g. ``backbone.vit.layers.3.ffn.fc1.weight``.
        num_layers: number of layers in the tower.

    Returns:
        0 for embeddings, i + 1 for layer i, ``num_layers + 1`` for the final norm, the adapter, necks and heads.

    Raises:
        ValueError: if a parameter of the backbone has an unknown name.
    """
    full = num_layers + 1
    if match := _FUSION.search(name):
        return int(match[1]) + 1
    if _ADAPTER.match(name):
        return full
    inner = name_in_tower(name)
    if inner is None:
        return full
    if _EMBEDDING.match(inner):
        return 0
    if match := _LAYER.match(inner):
        return int(match[1]) + 1
    if _FINAL.match(inner):
        return full
    raise ValueError(
        f"layer decay cannot find the layer of parameter '{name}': it is in the backbone, but not in an embedding, a layer, "
        "the final norm or an adapter. Use this constructor with BEiT3Vision, TimmViT or a ViTAdapter around them"
    )


def num_layers_of(names: Iterable[str]) -> int:
    """Return the number of layers in a model's towers, from the names of its parameters.

    Raises:
        ValueError: if no name is in a layer.
    """
    indices = [int(match[1]) for name in names if (match := _LAYER.match(name_in_tower(name) or ""))]
    if not indices:
        raise ValueError("layer decay found no layers: use a model with BEiT3Vision, TimmViT or BEiT3")
    return max(indices) + 1


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor:
    """Optimizer constructor with one learning rate per layer: ``lr * rate ** (num_layers + 1 - depth)``.

    These parameters have no weight decay: vectors (norms, biases, layer scales), positions, class, register and mask tokens,
    and the adapter's level embedding. Mask2Former's query embeddings have the full learning rate and weight decay, as in
    Mask2Former's recipe. (The reference ViT-Adapter gives them the rate of layer 0, because its code mistakes their names for
    those of the backbone's embedding.)

    ``paramwise_cfg``:

    * ``layer_decay_rate`` (float): above 0, at most 1; 1 means no layer-wise decay.
    * ``custom_keys`` (dict, optional): parts of names to ``dict(lr_mult=, decay_mult=)``. The longest matching part applies.

    Args:
        optim_wrapper_cfg: MMEngine's config of the wrapper, with an ``optimizer``.
        paramwise_cfg: see above.

    Raises:
        ValueError: if a key is unknown, or the rate is out of range.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.rate = float(options.pop("layer_decay_rate", 1.0))
        self.custom_keys: dict[str, dict[str, float]] = dict(options.pop("custom_keys", {}))
        if options:
            raise ValueError(f"paramwise_cfg: unknown {', '.join(sorted(options))}; use layer_decay_rate and custom_keys")
        if not 0 < self.rate <= 1:
            raise ValueError(f"paramwise_cfg: layer_decay_rate must be above 0 and at most 1, got {self.rate}")
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.optim_wrapper_cfg.pop("optimizer"))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for a model.

        Raises:
            ValueError: if a parameter of the backbone has an unknown name, see :func:`layer_depth`.
        """
        if is_model_wrapper(model):
            model = cast(nn.Module, model.module)
        optimizer = OPTIMIZERS.build({**self.optimizer_cfg, "params": self.param_groups(model)})
        return OPTIM_WRAPPERS.build({"type": "OptimWrapper", **self.optim_wrapper_cfg, "optimizer": optimizer})

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Group the trainable parameters by learning rate and weight decay. Each group has a ``param_group`` label."""
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        num_layers = num_layers_of(name for name, _ in model.named_parameters())
        lr = self.optimizer_cfg["lr"]
        decay = self.optimizer_cfg.get("weight_decay", 0.0)
        groups: dict[tuple[int, float, float], dict[str, Any]] = {}
        for name, parameter in named:
            depth = layer_depth(name, num_layers)
            custom = self._custom(name)
            lr_mult = self.rate ** (num_layers + 1 - depth) * custom.get("lr_mult", 1.0)
            decayed = parameter.ndim > 1 and not _UNDECAYED.search(name)
            decay_mult = float(decayed) * custom.get("decay_mult", 1.0)
            key = (depth, lr_mult, decay_mult)
            if key not in groups:
                label = f"depth_{depth}_{'decay' if decay_mult else 'no_decay'}"
                groups[key] = {
                    "params": [],
                    "lr": lr * lr_mult,
                    "weight_decay": decay * decay_mult,
                    "param_group": label,
                }
            groups[key]["params"].append(parameter)
        ordered = [groups[key] for key in sorted(groups)]
        print_log(
            f"layer decay {self.rate}: {num_layers} layers, {len(ordered)} groups, rates "
            f"{min(g['lr'] for g in ordered):.3g} to {max(g['lr'] for g in ordered):.3g}",
            logger="current",
        )
        return ordered

    def _custom(self, name: str) -> dict[str, float]:
        matching = [key for key in self.custom_keys if key in name]
        return self.custom_keys[max(matching, key=len)] if matching else {}
