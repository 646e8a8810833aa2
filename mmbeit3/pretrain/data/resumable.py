"""Endless data for PyTorch's DataLoader that finds its place among ranks and workers, and goes on where training stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch.distributed as dist
from torch.utils.data import IterableDataset, get_worker_info

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.types import Place

__all__ = ["ResumableDataset", "process_rank"]


class ResumableDataset(IterableDataset[Any]):
    """Yields what :meth:`read` gives, each with the position behind it.

    Workers read ahead, so the position has to come from what was consumed: the training loop passes the position of each item
    to :meth:`consumed` once it is used. :meth:`state_dict` is then exact whatever was read ahead, and the items of a resumed
    loader come in the same order, if ranks and workers are as many as before. Iterating starts at what was consumed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._consumed: dict[int, dict[str, Any]] = {}
        self._last: int | None = None
        self._rank: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """With the rank: a spawned worker has no process group to ask."""
        return {**self.__dict__, "_rank": self._find_rank()}

    def read(self, place: Place, position: Mapping[str, Any] | None) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A reader's items from a position, or from the start; with each the position behind it, of plain numbers and strings.

        Args:
            place: the reader.
            position: as it came with the last item that this reader's predecessor saw consumed.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        """This worker's items, each as a tuple with its position.

        Raises:
            UserError: if the position is of other ranks or workers.
        """
        rank, world_size = self._find_rank()
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        for state in self._consumed.values():
            for name, value in (("world_size", world_size), ("num_workers", num_workers)):
                if state[name] != value:
                    raise UserError(
                        f"cannot resume the data: {name} was {state[name]} and is {value}; "
                        "resume with as many ranks and workers as before"
                    )
        if self._last is not None:
            # The loader asks its first worker first: that one takes the part of the worker whose turn it was.
            worker = (worker + self._last + 1) % num_workers
        here = {"worker": worker, "num_workers": num_workers, "world_size": world_size}
        position = self._consumed[worker]["position"] if worker in self._consumed else None
        for item, behind in self.read(Place(rank, world_size, worker, num_workers), position):
            yield item, {**here, "position": behind}

    def _find_rank(self) -> tuple[int, int]:
        return process_rank() if self._rank is None else self._rank

    def consumed(self, state: Mapping[str, Any]) -> None:
        """Note that the item that came with the state, and those before it of the same worker, have been used."""
        self._consumed[state["worker"]] = dict(state)
        self._last = state["worker"]

    def state_dict(self) -> dict[str, Any]:
        """This rank's position, of plain numbers and strings, as far as ``consumed`` was told."""
        return {"last": self._last, "workers": {str(worker): dict(state) for worker, state in self._consumed.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a position of this rank; whether it fits data and workers shows when iterating starts.

        Raises:
            UserError: if it is no such position.
        """
        try:
            last = state["last"]
            consumed = {int(worker): dict(position) for worker, position in state["workers"].items()}
            complete = all(
                {"worker", "num_workers", "world_size", "position"} <= position.keys() for position in consumed.values()
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"cannot resume the data: not a position of it ({error!r})") from error
        if not complete or (last is not None and last not in consumed):
            raise UserError("cannot resume the data: not a position of it (a part is missing)")
        self._last, self._consumed = last, consumed


def process_rank() -> tuple[int, int]:
    """Rank of this process and number of ranks, 0 of 1 where there is no process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
