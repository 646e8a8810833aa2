"""Records for PyTorch's DataLoader: it finds its place among ranks and workers, transforms, and resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch.distributed as dist
from torch.utils.data import IterableDataset, get_worker_info

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.records import Records
from mmbeit3.pretrain.data.source import RecordSource
from mmbeit3.pretrain.data.types import Place, Record

__all__ = ["RecordDataset", "process_rank"]


class RecordDataset(IterableDataset[Any]):
    """Yields ``transform(record, rng)`` of this worker's records.

    Resuming with workers: they read ahead, so the position has to come from what was consumed. With ``with_state`` each
    result comes as ``(result, state)``; the collate function keeps the state of a batch's last one, and the training loop
    passes it to ``consumed`` when the step is done. ``state_dict`` is then exact whatever was read ahead, and the batches of
    a resumed loader come in the same order, if its batch size and number of workers are the same. Iterating starts at what was
    consumed, or at the epoch's start.

    Args:
        records: where they come from.
        transform: takes a record and a generator that is seeded by seed, epoch, reader and position, so that a record is
            treated alike in a resumed run; records are yielded as they are if None.
        seed: of order and transforms, 0 or more.
        endless: go on with the next epoch instead of stopping; needed with persistent workers and for equal steps on all ranks.
        shuffle: permute every epoch anew.
        max_errors: unusable records that each worker skips in an epoch before ``UserError``.
        with_state: yield the position as well.
    """

    def __init__(
        self,
        records: Records,
        transform: Callable[[Record, np.random.Generator], Any] | None = None,
        seed: int = 0,
        endless: bool = True,
        shuffle: bool = True,
        max_errors: int = 100,
        with_state: bool = False,
    ) -> None:
        super().__init__()
        self.records, self.transform, self.seed = records, transform, seed
        self.endless, self.shuffle, self.max_errors, self.with_state = endless, shuffle, max_errors, with_state
        self.epoch = 0
        self._consumed: dict[int, dict[str, Any]] = {}
        self._last: int | None = None
        self._rank: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """With the rank: a spawned worker has no process group to ask."""
        return {**self.__dict__, "_rank": self._find_rank()}

    def __iter__(self) -> Iterator[Any]:
        """This worker's results.

        Raises:
            UserError: as ``RecordSource`` does, or if the position is of other data, ranks or workers.
        """
        source = self._source()
        place = source.place
        for record in source:
            result: Any = record
            if self.transform is not None:
                rng = np.random.default_rng([self.seed, source.epoch, place.stream, source.position])
                result = self.transform(record, rng)
            yield (result, source.state_dict()) if self.with_state else result

    def _source(self) -> RecordSource:
        rank, world_size = self._find_rank()
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        if self._last is not None:
            # The loader asks its first worker first: that one takes the part of the worker whose turn it was.
            worker = (worker + self._last + 1) % num_workers
        source = RecordSource(
            self.records,
            Place(rank, world_size, worker, num_workers),
            seed=self.seed,
            epoch=self.epoch,
            endless=self.endless,
            shuffle=self.shuffle,
            max_errors=self.max_errors,
        )
        states = [self._consumed[worker]] if worker in self._consumed else list(self._consumed.values())[:1]
        for state in states:
            # A worker of which nothing was consumed still has to be one of as many.
            source.load_state_dict(state if worker in self._consumed else {**state, **_start(worker, self.epoch)})
        return source

    def _find_rank(self) -> tuple[int, int]:
        if self._rank is not None:
            return self._rank
        return process_rank()

    def set_epoch(self, epoch: int) -> None:
        """Start at that epoch and forget what was consumed; workers that run already do not hear of it."""
        self.epoch, self._consumed, self._last = epoch, {}, None

    def consumed(self, state: dict[str, Any]) -> None:
        """Note that the record that came with the state, and those before it of the same worker, have been used."""
        self._consumed[state["worker"]] = dict(state)
        self._last = state["worker"]

    def state_dict(self) -> dict[str, Any]:
        """This rank's position, of plain numbers and strings, as far as ``consumed`` was told."""
        return {
            "epoch": self.epoch,
            "last": self._last,
            "workers": {str(worker): dict(state) for worker, state in self._consumed.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a position of this rank; whether it fits data and workers shows when iterating starts.

        Raises:
            UserError: if it is no such position.
        """
        try:
            self.epoch, self._last = int(state["epoch"]), state["last"]
            self._consumed = {int(worker): dict(position) for worker, position in state["workers"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"cannot resume the data: not a position of it ({error!r})") from error


def _start(worker: int, epoch: int) -> dict[str, int]:
    return {"worker": worker, "epoch": epoch, "position": 0, "errors": 0}


def process_rank() -> tuple[int, int]:
    """Rank of this process and number of ranks, 0 of 1 where there is no process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
