"""One reader's records, epoch after epoch, with a position that can be saved and taken up again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mmbeit3.errors import UserError, printable
from mmbeit3.pretrain.data.records import Records
from mmbeit3.pretrain.data.types import BadRecordError, Place, Record

__all__ = ["RecordSource"]

_LOGGER = logging.getLogger(__name__)


class RecordSource:
    """Records of one reader, which is one worker on one rank.

    All readers together get every record of an epoch once. The order depends on seed and epoch only, given the place.
    Iterating again after a stop goes on at the position; after an epoch that ended, with the next one.

    A position counts the entries of the epoch so far, unusable ones included, so that resuming is exact: the records that
    follow are those that would have followed. For local files it costs nothing; for tar shards the reader's epoch is read
    again from its start, without decoding, up to the position, which brings the shuffle buffer to where it was.

    Args:
        records: where they come from.
        place: which reader this is.
        seed: of the order, 0 or more.
        epoch: number of the first epoch.
        endless: go on with the next epoch instead of stopping.
        shuffle: permute every epoch anew.
        max_errors: unusable records that are skipped in an epoch before it is an error.
    """

    def __init__(
        self,
        records: Records,
        place: Place | None = None,
        seed: int = 0,
        epoch: int = 0,
        endless: bool = False,
        shuffle: bool = True,
        max_errors: int = 100,
    ) -> None:
        self.records, self.place, self.seed = records, place or Place(), seed
        self.endless, self.shuffle, self.max_errors = endless, shuffle, max_errors
        self.epoch, self.position, self.errors = epoch, 0, 0

    def __iter__(self) -> Iterator[Record]:
        """Go on from the position.

        Raises:
            UserError: if more than ``max_errors`` records of an epoch are unusable, or an endless reader gets none at all.
        """
        while True:
            from_start, usable = self.position == 0, 0
            for entry in self.records.entries(self.place, self.epoch, self.seed, self.shuffle, self.position):
                self.position += 1
                try:
                    record = entry.load()
                except BadRecordError as error:
                    self._skip(entry.file, entry.key, error)
                    continue
                usable += 1
                yield record
            if self.endless and from_start and not usable:
                raise UserError(
                    f"reader {self.place.stream + 1} of {self.place.streams} has no usable record in an epoch: "
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
                f"'{key}' of '{file}': {error}"
            ) from error
        _LOGGER.warning("skipped '%s' of '%s': %s (error %d of at most %d)", key, file, error, self.errors, self.max_errors)

    def state_dict(self) -> dict[str, Any]:
        """The position, of plain numbers and strings: the next record is the one after the last that was handed out."""
        return {"epoch": self.epoch, "position": self.position, "errors": self.errors, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a position.

        Raises:
            UserError: if it is of another reader, number of readers, seed or data, where it would mean something else.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise UserError(
                    f"cannot resume the data: {name} was {state.get(name)!r} and is {value!r}; "
                    "resume with the same data, seed, ranks and workers"
                )
        self.epoch, self.position, self.errors = int(state["epoch"]), int(state["position"]), int(state["errors"])

    def _identity(self) -> dict[str, Any]:
        place = self.place
        return {
            "rank": place.rank,
            "world_size": place.world_size,
            "worker": place.worker,
            "num_workers": place.num_workers,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "data": self.records.fingerprint,
        }
