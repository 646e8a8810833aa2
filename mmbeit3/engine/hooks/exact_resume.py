"""Training that goes on after a kill as if it had not been killed."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmbeit3.errors import UserError
from mmbeit3.registry import HOOKS

__all__ = ["ExactResumeHook"]

_POSITIONS = "data_positions"


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Keep in each checkpoint where every rank was in its data, and draw each step's random numbers anew.

    For datasets that are a :class:`~mmbeit3.pretrain.data.ResumableDataset` and give their position as ``data_samples``; with
    ``fast_forward_on_resume=True`` in ``train_cfg``, so that MMEngine does not skip data besides, and with
    :class:`~mmbeit3.engine.hooks.SafeCheckpointHook`, which asks for the positions before it saves. What a model draws in a
    step (stochastic depth) depends on seed, step and rank alone, and so is the same after a resume.
    """

    priority = "HIGH"

    def before_train(self, runner: Runner) -> None:
        """Set the data to where it was; called before any worker starts.

        Raises:
            UserError: if the checkpoint was saved by another number of ranks, or checkpoints would fall between the steps of
                one accumulated gradient, which they do not hold.
        """
        accumulated = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and not hook.by_epoch and hook.interval > 0 and hook.interval % accumulated:
                raise UserError(
                    f"checkpoints every {hook.interval} steps do not fall on updates, which come every {accumulated} steps: "
                    "make the interval a multiple of accumulative_counts"
                )
        if runner.iter == 0:
            return
        positions = runner.message_hub.get_info(_POSITIONS, None)
        if positions is None:
            raise UserError("cannot resume the data: the checkpoint has no position of it; start anew with load_from instead")
        if len(positions) != get_world_size():
            raise UserError(
                f"cannot resume the data: the checkpoint is of {len(positions)} ranks, and this run has {get_world_size()}"
            )
        self._data(runner).load_state_dict(positions[get_rank()])

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the step."""
        # Any mixing of the three numbers does, as long as no two steps or ranks share a seed.
        torch.manual_seed(((runner.seed or 0) * 1_000_003 + runner.iter) * get_world_size() + get_rank())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Note that the step's data has been used."""
        self._data(runner).consumed(data_batch["data_samples"])

    def before_checkpoint(self, runner: Runner) -> None:
        """Gather all ranks' positions into the message hub, which is saved with each checkpoint."""
        runner.message_hub.update_info(_POSITIONS, all_gather_object(self._data(runner).state_dict()))

    def _data(self, runner: Runner) -> Any:
        return runner.train_dataloader.dataset
