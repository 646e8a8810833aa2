"""Layer-wise learning rate decay (BEiT, arXiv 2106.08254): lower layers get lower learning rates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from mmbeit3.registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ["LayerDecayOptimWrapperConstructor", "layer_depth", "num_layers_of"]

# A tower's names: as a backbone, inside an adapter ("vit."), inside TimmViT ("model."), or in the full model.
_TOWER = re.compile(r"^(?:backbone\.(?:vit\.)?(?:model\.)?|(?:.*\.)?(?:vision|language)\.)")
_EMBEDDING = re.compile(
    r"^(?:embed\.|patch_embed\.|norm_pre\.|(?:cls|reg|mask|dist|storage)_tokens?$|register_tokens$|pos_embed$|rope\.)"
)
_LAYER = re.compile(r"^(?:layers|blocks)\.(\d+)\.")
_FUSION = re.compile(r"(?:^|\.)fusion_ffns\.(\d+)\.")
_FINAL = re.compile(r"^(?:norm|fc_norm)\.")
_ADAPTER = re.compile(r"^backbone\.(?:level_embed$|spm\.|interactions\.|up\.|norm[1-4]\.)")
_UNDECAYED = re.compile(
    r"(?:^|\.)(?:positions|pos_embed|(?:cls|reg|mask|dist|storage)_tokens?|register_tokens|backbone\.level_embed|logit_scale)$"
)


def layer_depth(name: str, num_layers: int) -> int:
    """Return the depth of a parameter from its name.

    Args:
        name: full name, e.g. ``backbone.vit.layers.3.ffn.fc1.weight``.
        num_layers: layers of the tower.

    Returns:
        0 for embeddings, i + 1 for layer i, ``num_layers + 1`` for the final norm, the adapter, necks and heads.

    Raises:
        ValueError: for another parameter of the backbone.
    """
    full = num_layers + 1
    if match := _FUSION.search(name):
        return int(match[1]) + 1
    if _ADAPTER.match(name):
        return full
    tower = _TOWER.match(name)
    if tower is None:
        return full
    inner = name[tower.end() :]
    if _EMBEDDING.match(inner):
        return 0
    if match := _LAYER.match(inner):
        return int(match[1]) + 1
    if _FINAL.match(inner):
        return full
    raise ValueError(
        f"layer decay does not support the parameter '{name}': it is in the backbone, but not in the embedding, a layer, the "
        "final norm or the adapter. Use this constructor with BEiT3Vision, TimmViT or ViTAdapter"
    )


def num_layers_of(names: Iterable[str]) -> int:
    """Return the number of layers from the names of a model's parameters.

    Raises:
        ValueError: if no name contains a layer.
    """
    indices = [
        int(match[1]) for name in names if (tower := _TOWER.match(name)) and (match := _LAYER.match(name[tower.end() :]))
    ]
    if not indices:
        raise ValueError("layer decay found no layers: the model has no tower of BEiT3Vision, TimmViT or BEiT3")
    return max(indices) + 1


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor:
    """Set the learning rate of each parameter to ``lr * rate ** (num_layers + 1 - depth)``.

    Vectors (norms, biases, layer scales), position tables, class, register and mask tokens and the adapter's level embedding
    have no weight decay. Mask2Former's query embeddings get the full learning rate and weight decay, as all of its head in its
    own recipe. The reference ViT-Adapter treats them as layer 0 because of their names; this is not reproduced.

    ``paramwise_cfg``:

    * ``layer_decay_rate`` (float): above 0 and at most 1; 1 means no decay.
    * ``custom_keys`` (dict, optional): parts of names mapped to ``dict(lr_mult=, decay_mult=)``. The longest
      matching part is used.

    Args:
        optim_wrapper_cfg: config of MMEngine's optimizer wrapper, with an ``optimizer``.
        paramwise_cfg: see above.

    Raises:
        ValueError: for unknown keys or a rate outside of its range.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.rate = float(options.pop("layer_decay_rate", 1.0))
        self.custom_keys: dict[str, dict[str, float]] = dict(options.pop("custom_keys", {}))
        if options:
            raise ValueError(f"paramwise_cfg: unknown keys {', '.join(sorted(options))}: use layer_decay_rate and custom_keys")
        if not 0 < self.rate <= 1:
            raise ValueError(f"paramwise_cfg: layer_decay_rate must be above 0 and at most 1, got {self.rate}")
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.optim_wrapper_cfg.pop("optimizer"))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for a model.

        Raises:
            ValueError: for a parameter of unknown depth, see :func:`layer_depth`.
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
        fitting = [key for key in self.custom_keys if key in name]
        return self.custom_keys[max(fitting, key=len)] if fitting else {}
