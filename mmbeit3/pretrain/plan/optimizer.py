"""The optimizer of a pretraining config, and the memory of its state and step."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from mmbeit3.errors import UserError

__all__ = ["MASTER_BYTES", "build_optimizer", "optimizer_bytes"]

MASTER_BYTES = 4
"""Bytes per element of master weights, gradients and optimizer state: float32."""


def build_optimizer(cfg: Config, model: nn.Module) -> Optimizer:
    """Build a config's optimizer without mixed precision, whose loss scaler would need a GPU."""
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ("dtype", "loss_scale", "use_fp16")}
    return build_optim_wrapper(model, {**wrapper, "type": "OptimWrapper"}).optimizer


def optimizer_bytes(cfg: Config, model: nn.Module) -> tuple[float, int]:
    """Return the bytes of optimizer state per byte of weights, and the work space of an optimizer step in bytes.

    Adam's for-each implementation on GPUs makes a temporary tensor for each parameter of a group; the fused one makes none.

    Raises:
        UserError: if the optimizer is neither Adam nor AdamW.
    """
    optimizer = build_optimizer(cfg, model)
    if not isinstance(optimizer, Adam | AdamW):
        raise UserError(f"optimizer {type(optimizer).__name__} cannot be planned: use Adam or AdamW in optim_wrapper.optimizer")
    amsgrad, fused = optimizer.defaults["amsgrad"], optimizer.defaults["fused"]
    groups = [sum(parameter.numel() for parameter in group["params"]) for group in optimizer.param_groups]
    return 3 if amsgrad else 2, 0 if fused else MASTER_BYTES * max(groups)
