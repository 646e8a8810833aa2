"""Exact resume: after a kill, training continues as if it had not been interrupted."""

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
    """Save each rank's position in the data with every checkpoint, and reseed every step.

    Requirements: the dataset is a :class:`~mmbeit3.pretrain.data.ResumableDataset` that returns its position as
    ``data_samples``; ``train_cfg`` has ``fast_forward_on_resume=True``, so that MMEngine does not skip data as well; and the
    checkpoint hook is :class:`~mmbeit3.engine.hooks.SafeCheckpointHook`, which requests the positions before it saves. The
    random numbers of a step (stochastic depth) depend only on seed, step and rank, so they are the same after a resume.
    """

    priority = "HIGH"

    def before_train(self, runner: Runner) -> None:
        """Restore the position in the data. MMEngine calls this before any worker starts.

        Raises:
            UserError: if the checkpoint was saved by another number of ranks, or if checkpoints would be saved between the
                steps of an accumulated gradient, which checkpoints do not contain.
        """
        accumulated = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and not hook.by_epoch and hook.interval > 0 and hook.interval % accumulated:
                raise UserError(
                    f"the checkpoint interval of {hook.interval} steps is no multiple of the {accumulated} steps of an update: "
                    "set it to a multiple of accumulative_counts"
                )
        if runner.iter == 0:
            return
        positions = runner.message_hub.get_info(_POSITIONS, None)
        if positions is None:
            raise UserError(
                "cannot resume the data: the checkpoint does not contain its position; use load_from to start from the weights"
            )
        if len(positions) != get_world_size():
            raise UserError(
                f"cannot resume the data: the checkpoint was saved by {len(positions)} ranks, but this run "
                f"has {get_world_size()}"
            )
        self._data(runner).load_state_dict(positions[get_rank()])

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the step."""
        # Any formula works if no two steps or ranks get the same seed.
        torch.manual_seed(((runner.seed or 0) * 1_000_003 + runner.iter) * get_world_size() + get_rank())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Record that the step's data has been used."""
        self._data(runner).consumed(data_batch["data_samples"])

    def before_checkpoint(self, runner: Runner) -> None:
        """Gather the positions of all ranks in the message hub, which is saved with each checkpoint."""
        runner.message_hub.update_info(_POSITIONS, all_gather_object(self._data(runner).state_dict()))

    def _data(self, runner: Runner) -> Any:
        return runner.train_dataloader.dataset
