"""A resumable dataset for PyTorch's DataLoader that splits its data between ranks and workers.

Workers prefetch, so the dataset's own position is ahead of training. Each item therefore carries the position behind it, and
the training loop reports back which items it used. A checkpoint stores these reported positions, one per worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.types import Reader
from mmbeit3.pretrain.ranks import process_rank

__all__ = ["ResumableDataset"]


class ResumableDataset(IterableDataset[Any]):
    """An iterable dataset whose items, from :meth:`read`, each come with the position behind them.

    The training loop passes the position of each item that it used to :meth:`consumed`. :meth:`state_dict` is then exact
    however many items were prefetched. A resumed loader yields the items in the same order if the numbers of ranks and workers
    are unchanged. Iteration starts behind the consumed items.
    """

    def __init__(self) -> None:
        super().__init__()
        # The last consumed state of each worker, and the worker of the most recently consumed item.
        self._consumed: dict[int, dict[str, Any]] = {}
        self._last: int | None = None
        self._rank: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the rank as well: a spawned worker has no process group that could give it."""
        return {**self.__dict__, "_rank": self._find_rank()}

    def read(self, reader: Reader, position: Mapping[str, Any] | None) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield a reader's items with the position behind each; a position consists of plain numbers and strings.

        Args:
            reader: this worker on this rank.
            position: the position that came with the last consumed item of this reader; None to start at the beginning.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        """Yield this worker's items, each as a tuple with its position.

        Raises:
            UserError: if the loaded position was saved with another number of ranks or workers.
        """
        rank, world_size = self._find_rank()
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        for state in self._consumed.values():
            for name, value in (("world_size", world_size), ("num_workers", num_workers)):
                if state[name] != value:
                    raise UserError(
                        f"cannot resume the data: {name} was {state[name]} and is now {value}: "
                        "resume with the same number of ranks and workers"
                    )
        if self._last is not None:
            # A new loader asks its worker 0 first, but the next item belongs to the worker after the last consumed one. So each
            # worker continues the part of another: with 3 workers and last = 0, worker 0 continues part 1.
            worker = (worker + self._last + 1) % num_workers
        identity = {"worker": worker, "num_workers": num_workers, "world_size": world_size}
        position = self._consumed[worker]["position"] if worker in self._consumed else None
        for item, behind in self.read(Reader(rank, world_size, worker, num_workers), position):
            yield item, {**identity, "position": behind}

    def _find_rank(self) -> tuple[int, int]:
        return process_rank() if self._rank is None else self._rank

    def consumed(self, state: Mapping[str, Any]) -> None:
        """Record that the item that came with ``state``, and all earlier ones of the same worker, were used."""
        self._consumed[state["worker"]] = dict(state)
        self._last = state["worker"]

    def state_dict(self) -> dict[str, Any]:
        """Return this rank's position behind the consumed items, in plain numbers and strings."""
        return {"last": self._last, "workers": {str(worker): dict(state) for worker, state in self._consumed.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a position of this rank. Iteration checks that it fits the data and the number of workers.

        Raises:
            UserError: if ``state`` is not a position of :meth:`state_dict`.
        """
        try:
            last = state["last"]
            consumed = {int(worker): dict(position) for worker, position in state["workers"].items()}
            complete = all(
                {"worker", "num_workers", "world_size", "position"} <= position.keys() for position in consumed.values()
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"cannot resume the data: the saved state is not a position of the data ({error!r})") from error
        if not complete or (last is not None and last not in consumed):
            raise UserError("cannot resume the data: the saved state is not a position of the data (a part is missing)")
        self._last, self._consumed = last, consumed
