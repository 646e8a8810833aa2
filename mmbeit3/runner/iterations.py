"""Check that a training has the iterations that its data loader and its warm-up need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch.utils.data import DataLoader, IterableDataset

from mmbeit3.errors import UserError

__all__ = ["check_iterations"]


def check_iterations(loop: BaseLoop, schedulers: Any) -> None:
    """Check the number of batches, and that a warm-up ends.

    Args:
        loop: the training loop.
        schedulers: the config's ``param_scheduler``.

    Raises:
        UserError: if an epoch has no batch, or if a linear schedule has a single step: MMEngine would leave the learning rate
            at its start.
    """
    loader = loop.dataloader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return
    batches = len(loader)
    if batches == 0 and isinstance(loop, EpochBasedTrainLoop):
        raise UserError(
            f"train_dataloader has no batch: it has {len(loader.dataset)} samples, batch_size={loader.batch_size} and "  # type: ignore[arg-type]
            "drop_last=True, which leaves out a smaller last batch: use a smaller batch_size, or add data"
        )
    for one in _linear(schedulers):
        steps, all_steps = one.get("end", float("inf")) - one.get("begin", 0), loop.max_iters
        if one.get("by_epoch", True):
            if one.get("convert_to_iter_based"):
                steps *= batches
            else:
                all_steps = loop.max_epochs
        start = one.get("start_factor", 1 / 3)
        if steps == 1 < all_steps and start != one.get("end_factor", 1):
            raise UserError(
                f"param_scheduler has a {one['type']} of a single step, after which the learning rate would stay at {start:g} "
                f"of its value (an epoch has {batches} {'batch' if batches == 1 else 'batches'}): use a smaller batch_size, or "
                "set by_epoch=False and an end of at least 2 iterations"
            )


def _linear(schedulers: Any) -> Iterator[Mapping[str, Any]]:
    """Find the linear schedules in a config's list, or in the lists of several optimizers."""
    if isinstance(schedulers, Mapping) and "type" in schedulers:
        if str(schedulers["type"]) in ("LinearLR", "LinearParamScheduler"):
            yield schedulers
    elif isinstance(schedulers, Mapping | list | tuple):
        for part in schedulers.values() if isinstance(schedulers, Mapping) else schedulers:
            yield from _linear(part)
