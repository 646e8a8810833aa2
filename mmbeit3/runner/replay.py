"""Run a saved batch again, and find where its loss or its gradients are no longer finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.engine.optimizers import multiplies_bfloat16
from mmbeit3.engine.replay_file import from_plain, read_replay, restore_random_state
from mmbeit3.errors import UserError, list_first
from mmbeit3.ops import replace_layers

__all__ = ["autocast_of", "replay"]

_MOST = 5


class _FirstNonFinite:
    """Forward hook that remembers the first module whose output is NaN or infinite.

    Attributes:
        name: name of the module; None if there is none.
        inputs_finite: True if its inputs were finite.
    """

    def __init__(self, model: nn.Module) -> None:
        self.name: str | None = None
        self.kind = ""
        self.inputs_finite = True
        for name, module in model.named_modules():
            if name:
                module.register_forward_hook(lambda *args, name=name: self._check(name, *args))

    def _check(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        # Inner modules end first, so the first one found is the innermost.
        if self.name is None and not _finite(output):
            self.name, self.kind, self.inputs_finite = name, type(module).__name__, _finite(inputs)


def replay(cfg: Config, path: str | Path) -> list[str]:
    """Run the forward and the backward pass of a batch that :class:`~mmbeit3.engine.hooks.FiniteLossHook` saved.

    Args:
        cfg: the config of the training. Its ``load_from``, if set, takes the place of the weights that the file names.
        path: the file.

    Returns:
        Lines for the user: the records, the weights, the losses, the first module with an output that is not finite, the
        weights and the gradients that are not finite.

    Raises:
        UserError: if the file or the weights cannot be read, or belong to another model.
    """
    content = read_replay(path)
    init_default_scope(cfg.get("default_scope") or "mmengine")
    model: Any = MODELS.build(cfg.model)
    lines = [f"step {content['step']}, on {list_first(content.get('records') or ['unknown records'], _MOST)}"]
    lines.append(f"weights: {_load(model, content['weights'], cfg.get('load_from'))}")
    if any(str(hook.get("type")).endswith("FastOpsHook") for hook in cfg.get("custom_hooks") or []):
        replace_layers(model)
    model = model.to(get_device()).train()
    broken = [name for name, weight in model.named_parameters() if not _finite(weight)]
    if broken:
        lines.append(f"weights that are not finite: {list_first(broken, _MOST)}")
    first = _FirstNonFinite(model)
    restore_random_state(content["random"])
    with autocast_of(cfg):
        data = model.data_preprocessor(from_plain(content["batch"]), True)
        losses = model(**data, mode="loss") if isinstance(data, dict) else model(*data, mode="loss")
        total, values = model.parse_losses(losses)
    lines += [
        f"{name} {float(torch.as_tensor(value).detach()):.6g}{'' if _finite(value) else '  <- not finite'}"
        for name, value in values.items()
    ]
    if first.name is not None:
        inputs = "although its inputs are finite" if first.inputs_finite else "and so are its inputs"
        lines.append(f"first output that is not finite: module {first.name} ({first.kind}), {inputs}")
    elif not _finite(total):
        lines.append("all outputs of modules are finite: the loss function itself, or the targets, are the reason")
    total.backward()
    gradients = [name for name, weight in model.named_parameters() if weight.grad is not None and not _finite(weight.grad)]
    if gradients:
        # The backward pass reaches the last modules first.
        lines.append(
            f"gradients that are not finite: {len(gradients)}, the last modules first: {list_first(gradients[::-1], _MOST)}"
        )
    elif _finite(total):
        lines.append(
            "loss and gradients are finite with these weights: the weights of the failed step were different, so lower the "
            "learning rate, or save checkpoints more often and replay again"
        )
    return lines


def _load(model: Any, weights: Mapping[str, Any], other: str | None) -> str:
    """Load weights, and return where they are from."""
    if other is None and weights.get("state_dict"):
        try:
            model.load_state_dict(weights["state_dict"])
        except RuntimeError as error:
            raise UserError("the replay file belongs to another model: give the config of its training") from error
        return "those of the failed step, saved with the batch"
    path = other or weights.get("checkpoint")
    if path is None:
        model.init_weights()
        return "initial ones of the config, because the run had no checkpoint yet"
    load_checkpoint(model, path, strict=True)
    return str(path)


def autocast_of(cfg: Config) -> AbstractContextManager[Any]:
    """Return the context in which a config's training runs the forward pass."""
    wrapper = cfg.get("optim_wrapper") or {}
    kind, device = str(wrapper.get("type")), get_device()
    if kind.endswith("BFloat16OptimWrapper"):
        return torch.autocast(device, torch.bfloat16, enabled=multiplies_bfloat16(torch.device(device)))
    if "Amp" not in kind:
        return nullcontext()
    dtype = wrapper.get("dtype")
    return torch.autocast(device, dtype=getattr(torch, dtype) if isinstance(dtype, str) else dtype)


def _finite(value: Any) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(value) if tensor.is_floating_point())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
