"""One training iteration of a model of mmdet or mmseg, and its stock counterpart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from benchmarks.cases import Unavailable

__all__ = ["STOCK", "Iteration", "shared_points", "stock_types"]

STOCK: dict[str, str] = {
    "mmbeit3.SegMask2FormerHead": "mmseg.Mask2FormerHead",
    **{
        f"mmbeit3.{name}": f"mmdet.{name}"
        for name in (
            "DeltaXYWHBBoxCoder",
            "FCNMaskHead",
            "MSDeformAttnPixelDecoder",
            "Mask2FormerHead",
            "MaxIoUAssigner",
            "RPNHead",
            "RandomSampler",
            "Shared2FCBBoxHead",
            "SingleRoIExtractor",
        )
    },
}
"""Types of mmbeit3 in heads to the types of mmdet and mmseg that they replace."""


class Iteration:
    """A model with its optimizer and a batch.

    Args:
        config: config with ``default_scope`` and ``optim_wrapper``.
        model: config of the model; weights named in it are not loaded.
        data: batch as a data loader gives it.
        device: device to build on.
        dtype: ``'float32'``, or the dtype of autocast.
        weights: state dict; default new weights.
        stock: True to leave out the config's hooks that make layers faster.
    """

    def __init__(
        self,
        config: Any,
        model: Any,
        data: Mapping[str, Any],
        device: str,
        dtype: str,
        weights: Mapping[str, Tensor] | None = None,
        stock: bool = False,
    ) -> None:
        from mmengine.model import revert_sync_batchnorm
        from mmengine.optim import build_optim_wrapper
        from mmengine.registry import HOOKS, MODELS, init_default_scope

        init_default_scope(config.default_scope)
        torch.manual_seed(0)
        with torch.device(device):
            self.model: Any = revert_sync_batchnorm(MODELS.build(_without_checkpoints(model)))
            if weights is None:
                # Only the heads: initialising the backbone again would load its checkpoint.
                for name, child in self.model.named_children():
                    if name not in ("backbone", "data_preprocessor") and hasattr(child, "init_weights"):
                        child.init_weights()
        self.model.to(device).train()
        if weights is not None:
            self.model.load_state_dict(dict(weights))
        for hook in [] if stock else config.get("custom_hooks", []):
            if hook["type"].startswith("mmbeit3.Fast"):
                HOOKS.build(hook).before_run(SimpleNamespace(model=self.model))
        self.optim_wrapper = build_optim_wrapper(self.model, config.optim_wrapper)
        self.data = data
        self.dtype = dtype
        self.device = torch.device(device)

    def weights(self) -> dict[str, Tensor]:
        """Return the state dict."""
        return self.model.state_dict()

    def train(self) -> None:
        """Run an iteration: forward, losses, backward, optimizer step."""
        with self._autocast():
            loss = self._losses()[0]
        self.optim_wrapper.update_params(loss)

    def differentiate(self) -> tuple[list[Tensor], list[Tensor]]:
        """Run forward and backward pass with a fixed seed and without stochastic depth.

        Returns:
            The feature maps of the neck or else of the backbone, then the losses in one tensor; and the gradients of the first
            matrix of the backbone and of the last one of the model. A two-stage detector gives the losses of its first stage
            only: rounding changes the proposals and with them the samples of the second stage.
        """
        torch.manual_seed(0)
        self.model.zero_grad(set_to_none=True)
        maps: list[Tensor] = []
        source = self.model.neck if getattr(self.model, "neck", None) is not None else self.model.backbone
        hook = source.register_forward_hook(lambda module, inputs, output: maps.extend(output))
        try:
            with self._autocast(), _without_stochastic_depth(self.model):
                loss, values = self._losses()
        finally:
            hook.remove()
        loss.backward()
        probes = _probes(self.model)
        gradients = [probe.grad.clone() for probe in probes if probe.grad is not None]
        self.model.zero_grad(set_to_none=True)
        if any(name.startswith("loss_rpn") for name in values):
            values = {name: value for name, value in values.items() if name.startswith("loss_rpn")}
        losses = torch.stack([value.detach().float() for value in values.values()])
        return [*(features.detach() for features in maps), losses], gradients

    def _losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        # The preprocessor pads the samples in place; it leaves padded ones as they are.
        data = self.model.data_preprocessor(dict(self.data), True)
        losses = self.model(**data, mode="loss")
        values = {
            name: value.mean() if isinstance(value, Tensor) else torch.stack([part.mean() for part in value]).sum()
            for name, value in losses.items()
        }
        return self.model.parse_losses(losses)[0], values

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype != "float32")


def _probes(model: nn.Module) -> list[nn.Parameter]:
    """Return the first trained matrix of the backbone and the last one of the model."""
    matrices = [(name, p) for name, p in model.named_parameters() if p.dim() > 1 and p.requires_grad]
    backbone = next(p for name, p in matrices if name.startswith("backbone.") and name.endswith("proj.weight"))
    return [backbone, matrices[-1][1]]


@contextmanager
def _without_stochastic_depth(model: nn.Module) -> Iterator[None]:
    """Switch off stochastic depth: half precision and float32 may draw different numbers."""
    rates = [(module, module.drop_prob) for module in model.modules() if isinstance(module, DropPath)]
    for module, _ in rates:
        module.drop_prob = 0.0
    try:
        yield
    finally:
        for module, rate in rates:
            module.drop_prob = rate


def _without_checkpoints(model: Any) -> Any:
    """Return a config of a model without the checkpoints that it names."""
    if isinstance(model, dict):
        copied = deepcopy(model)
        if _names_checkpoint(copied.get("init_cfg")):
            copied.pop("init_cfg")
        # TimmViT's short form of init_cfg.
        if isinstance(copied.get("checkpoint"), str):
            copied.pop("checkpoint")
        for key, value in copied.items():
            copied[key] = _without_checkpoints(value)
        return copied
    if isinstance(model, list | tuple):
        return type(model)(_without_checkpoints(value) for value in model)
    return model


def _names_checkpoint(init_cfg: Any) -> bool:
    return isinstance(init_cfg, dict) and "checkpoint" in init_cfg


def stock_types(config: Any, keep: Sequence[str] = ()) -> Any:
    """Return the config of a head with mmdet's and mmseg's types in the place of mmbeit3's.

    Args:
        config: config; it is changed in place.
        keep: keys whose values are left alone.

    Raises:
        Unavailable: if a type of mmbeit3 has no counterpart in :data:`STOCK`.
    """
    if isinstance(config, dict):
        name = config.get("type")
        if isinstance(name, str) and name.startswith("mmbeit3."):
            if name not in STOCK:
                raise Unavailable(f"no stock counterpart of {name} is known: add it to benchmarks/preset/iteration_step.py")
            config["type"] = STOCK[name]
        for key, value in config.items():
            if key not in keep:
                config[key] = stock_types(value)
        return config
    if isinstance(config, list | tuple):
        return type(config)(stock_types(value) for value in config)
    return config


@contextmanager
def shared_points() -> Iterator[None]:
    """Let ``torch.rand`` give the same points to each mask: shape (..., N, 2) repeats N points, which depend only on N.

    Heads that sample the points of several masks or layers in one call then use the points of heads that sample them in turn.
    """
    original = torch.rand

    def rand(*size: Any, **options: Any) -> Tensor:
        shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
        if len(shape) < 3 or shape[-1] != 2:
            return original(*size, **options)
        generator = torch.Generator().manual_seed(shape[-2])
        points = original(shape[-2], 2, generator=generator, device="cpu")
        return points.to(options.get("device"), options.get("dtype")).expand(shape).clone()

    with patch.object(torch, "rand", rand):
        yield
