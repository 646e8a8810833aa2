"""Stop training, or skip the step, if the loss is NaN or infinite."""

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

from mmbeit3.engine.hooks.replay_batch import save_batch
from mmbeit3.engine.replay_file import random_state
from mmbeit3.errors import UserError, list_first
from mmbeit3.registry import HOOKS

__all__ = ["FiniteLossHook"]

_MOST_NAMES = 8

_SCALER_PATIENCE = 20
"""Number of consecutive steps that a gradient scaler may skip while it searches for its scale."""

_RECORD_KEYS = ("img_path", "image_id", "question_id", "sentence_id", "key")
"""Keys that may identify a record of a batch."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training if the loss is NaN or infinite, before a checkpoint is written, or skip such steps. Save the batch.

    On a GPU the hook checks a step's loss after the next step, so that the host does not wait for it. With automatic mixed
    precision the gradient scaler skips steps itself; up to 20 consecutive ones are accepted.

    Args:
        skip: number of consecutive steps that may be skipped, on all ranks together. A skipped step does not change the weights
            and is logged. With 0, training stops at the first one.
        keep: number of batches to keep in ``replay/`` in the work directory, the newest; 0 saves none. A batch of more than
            256 MB is not saved. ``tools/train.py CONFIG --replay FILE`` runs a batch again and shows where it fails.
    """

    priority = "NORMAL"

    def __init__(self, skip: int = 0, keep: int = 3) -> None:
        if skip < 0 or keep < 0:
            raise ValueError(f"skip and keep must not be negative, got {skip} and {keep}")
        self.skip = skip
        self.keep = keep
        self._random: dict[str, Any] = {}
        self._in_row = 0
        self._accumulated = False
        self._pending: tuple[int, Mapping[str, Any], Any, dict[str, Any]] | None = None

    def before_train(self, runner: Runner) -> None:
        """Make the optimizer skip steps if ``skip`` is set.

        Raises:
            UserError: if there are several optimizers, which cannot skip a step together.
        """
        if not self.skip:
            return
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapperDict):
            raise UserError("FiniteLossHook(skip=...) supports one optimizer, but the config has several: remove skip")
        update = wrapper.update_params

        def update_if_finite(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            finite = torch.isfinite(loss.detach()).all().float()
            # If one rank alone skipped the step, the others would wait for its gradients.
            all_reduce(finite, "min")
            if finite:
                update(loss, *args, **kwargs)
                self._accumulated = not wrapper.should_update()
                return
            # The step counts for the accumulation of gradients, so that updates and checkpoints stay where they are planned.
            wrapper._inner_count += 1
            if self._accumulated and wrapper.should_update():
                wrapper.step()
                wrapper.zero_grad()
                self._accumulated = False

        wrapper.update_params = update_if_finite

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note the random state, which decides about dropped paths, flips on the GPU and so on."""
        if self.keep:
            self._random = random_state()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check the loss.

        Raises:
            UserError: if it is NaN or infinite, with the step, the parts of the loss and the records of the batch.
        """
        self._check(runner)
        if isinstance(outputs, Mapping):
            self._pending = (runner.iter + 1, outputs, data_batch, self._random)
            if not any(value.is_cuda for value in _losses(outputs) if isinstance(value, Tensor)):
                self._check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the loss of the last step."""
        self._check(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Check the loss of the last step."""
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        if self._pending is None:
            return
        step, outputs, batch, random = self._pending
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
        where = f"step {step}: {parts}" + (f" (on {list_first(names, _MOST_NAMES)})" if names else "")
        saved = save_batch(runner, step, batch, random, names, self.keep) if self.keep else ""
        if self._in_row <= patience:
            runner.logger.warning(f"{where}; the step was skipped ({self._in_row} in a row){saved}")
            return
        raise UserError(
            f"{where}. Training stopped{saved}{_last_checkpoint(runner)}: lower the learning rate, check these records, or "
            f"skip such steps with custom_hooks=[dict(type='mmbeit3.FiniteLossHook', skip={max(10, 2 * patience)})]"
        )


def _losses(outputs: Mapping[str, Any]) -> list[Any]:
    """Return the total loss, or all values of a model that does not return one."""
    # Only one value, because each costs a transfer. Other logged values, such as the accuracy of an empty set, may be NaN.
    return [outputs["loss"]] if "loss" in outputs else list(outputs.values())


def _is_finite(value: Any) -> bool:
    return bool(torch.isfinite(torch.as_tensor(value)).all())


def _records(batch: Any) -> Iterator[str]:
    """Yield the names of a batch's records, if it has any."""
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
    return f"; the last checkpoint is '{path}'" if path else ""
