"""Training that does not go on when its loss is no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.registry import HOOKS

__all__ = ["FiniteLossHook"]

_MOST_NAMES = 8

_SCALER_PATIENCE = 20
"""Steps in succession that a gradient scaler may leave out while it looks for its scale."""

_RECORD_KEYS = ("img_path", "image_id", "question_id", "sentence_id", "key")
"""What records of a batch may be known by."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training whose loss is NaN or infinite, before a checkpoint of it is written, or leaves such steps out.

    On a GPU a step's loss is looked at when the next step is done, so that nothing waits for it. Under automatic mixed
    precision the gradient scaler leaves out steps by itself, of which 20 in succession are let pass.

    Args:
        skip: number of steps in succession that may be left out, on all ranks together: weights stay as they are, and the log
            says so. 0 stops at the first.
    """

    priority = "NORMAL"

    def __init__(self, skip: int = 0) -> None:
        if skip < 0:
            raise ValueError(f"skip must not be negative, got {skip}")
        self.skip = skip
        self._in_row = 0
        self._pending: tuple[int, Mapping[str, Any], Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Have the optimizer leave out steps, if that is wanted.

        Raises:
            UserError: if there are several optimizers, whose steps are not left out together.
        """
        if not self.skip:
            return
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapperDict):
            raise UserError("FiniteLossHook(skip=...) needs one optimizer, and the config has several: leave skip out")
        update = wrapper.update_params

        def update_if_finite(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            finite = torch.isfinite(loss.detach()).all().float()
            # One rank that leaves its step out alone would leave the others waiting for its gradients.
            all_reduce(finite, "min")
            if finite:
                update(loss, *args, **kwargs)

        wrapper.update_params = update_if_finite

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Look at the loss.

        Raises:
            UserError: if it is no number, with the step, its parts and the batch's records.
        """
        self._check(runner)
        if isinstance(outputs, Mapping):
            self._pending = (runner.iter + 1, outputs, data_batch)
            if not any(value.is_cuda for value in _losses(outputs) if isinstance(value, Tensor)):
                self._check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the last step's loss."""
        self._check(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Look at the last step's loss."""
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        if self._pending is None:
            return
        step, outputs, batch = self._pending
        self._pending = None
        if all(map(_is_finite, _losses(outputs))):
            self._in_row = 0
            return
        self._in_row += 1
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        patience = max(self.skip, _SCALER_PATIENCE if scaler is not None and scaler.is_enabled() else 0)
        parts = ", ".join(
            f"{name} {float(torch.as_tensor(value).detach()):.4g}" for name, value in outputs.items() if not _is_finite(value)
        )
        names = list(dict.fromkeys(_records(batch)))
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        where = f"step {step}: {parts}" + (f" (on {', '.join(names[:_MOST_NAMES])}{more})" if names else "")
        if self._in_row <= patience:
            runner.logger.warning(f"{where}; the step was left out, {self._in_row} in succession")
            return
        raise UserError(
            f"{where}. Training was stopped{_last_checkpoint(runner)}: lower the learning rate, look at these data, or leave "
            f"such steps out by custom_hooks=[dict(type='mmbeit3.FiniteLossHook', skip={max(10, 2 * patience)})]"
        )


def _losses(outputs: Mapping[str, Any]) -> list[Any]:
    """The sum of the losses, by which steps are left out, too; of a model that gives none, all values."""
    # One value for each step, as each is waited for; what is logged besides, such as an accuracy of nothing, may be no number.
    return [outputs["loss"]] if "loss" in outputs else list(outputs.values())


def _is_finite(value: Any) -> bool:
    return bool(torch.isfinite(torch.as_tensor(value)).all())


def _records(batch: Any) -> Iterator[str]:
    """Names of a batch's records, as far as it has some."""
    if isinstance(batch, BaseDataElement):
        batch = dict(batch.all_items())
    if isinstance(batch, Mapping):
        for key in _RECORD_KEYS:
            if isinstance(batch.get(key), str | int):
                yield f"'{batch[key]}'" if isinstance(batch[key], str) else f"{key} {batch[key]}"
                return
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for part in batch:
            yield from _records(part)


def _last_checkpoint(runner: Runner) -> str:
    path = runner.message_hub.get_info("last_ckpt", None)
    return f"; weights from before are in '{path}'" if path else ""
