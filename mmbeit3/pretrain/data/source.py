"""Iteration over one reader's records, epoch by epoch, with a position that can be saved and loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mmbeit3.errors import UserError, printable
from mmbeit3.pretrain.data.records import Records
from mmbeit3.pretrain.data.types import BadRecordError, Reader, Record

__all__ = ["RecordSource"]

_LOGGER = logging.getLogger(__name__)


class RecordSource:
    """Records of one reader, which is one worker on one rank.

    All readers together get every record of an epoch once. For a reader, the order depends on seed and epoch only. Iterating
    again after an interruption continues at the position; after a complete epoch, with the next epoch.

    The position is the number of records read in the epoch, unusable ones included, so resuming is exact: the same records
    follow. Resuming costs nothing for local files. For tar shards the reader's epoch is read again from its start up to the
    position, without decoding, which restores the shuffle buffer.

    Args:
        records: the collection to read from.
        reader: one of the readers that share the records; the only one by default.
        seed: seed of the order, 0 or more.
        epoch: number of the first epoch.
        endless: True to continue with the next epoch, False to stop after one.
        shuffle: True to permute each epoch.
        max_errors: number of unusable records that may be skipped in an epoch.
    """

    def __init__(
        self,
        records: Records,
        reader: Reader | None = None,
        seed: int = 0,
        epoch: int = 0,
        endless: bool = False,
        shuffle: bool = True,
        max_errors: int = 100,
    ) -> None:
        self.records, self.reader, self.seed = records, reader or Reader(), seed
        self.endless, self.shuffle, self.max_errors = endless, shuffle, max_errors
        self.epoch, self.position, self.errors = epoch, 0, 0

    def __iter__(self) -> Iterator[Record]:
        """Yield records from the position on.

        Raises:
            UserError: if more than ``max_errors`` records of an epoch are unusable, or a whole epoch of an endless reader
                has no usable record.
        """
        while True:
            from_start, usable = self.position == 0, 0
            for lazy in self.records.read_epoch(self.reader, self.epoch, self.seed, self.shuffle, self.position):
                self.position += 1
                try:
                    record = lazy.load()
                except BadRecordError as error:
                    self._skip(lazy.file, lazy.key, error)
                    continue
                usable += 1
                yield record
            if self.endless and from_start and not usable:
                raise UserError(
                    f"reader {self.reader.index + 1} of {self.reader.count} has no usable record in an epoch: "
                    "use fewer workers or more data"
                )
            self.epoch, self.position, self.errors = self.epoch + 1, 0, 0
            if not self.endless:
                return

    def _skip(self, file: str, key: str, error: BadRecordError) -> None:
        file, key = printable(file, 4096), printable(key, 4096)
        self.errors += 1
        if self.errors > self.max_errors:
            raise UserError(
                f"more than {self.max_errors} unusable records in epoch {self.epoch} (max_errors); the last is "
                f"'{key}' of '{file}': {error}. Repair the data or raise max_errors"
            ) from error
        _LOGGER.warning("skipped '%s' of '%s': %s (error %d of at most %d)", key, file, error, self.errors, self.max_errors)

    def state_dict(self) -> dict[str, Any]:
        """Return the position behind the last record that was yielded, in plain numbers and strings."""
        return {"epoch": self.epoch, "position": self.position, "errors": self.errors, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a position.

        Raises:
            UserError: if it was saved by another reader, or with another number of readers, seed or data.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise UserError(
                    f"cannot resume the data: {name} was {state.get(name)!r} and is now {value!r}: "
                    "resume with the same data, seed, ranks and workers"
                )
        self.epoch, self.position, self.errors = int(state["epoch"]), int(state["position"]), int(state["errors"])

    def _identity(self) -> dict[str, Any]:
        return {
            "rank": self.reader.rank,
            "world_size": self.reader.world_size,
            "worker": self.reader.worker,
            "num_workers": self.reader.num_workers,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "data": self.records.fingerprint,
        }
