"""Types of the data code: a record, a record that is not decoded yet, and a reader (one worker on one rank)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from typing_extensions import NotRequired, TypedDict

from mmbeit3.errors import UserError

__all__ = ["KINDS", "BadRecordError", "LazyRecord", "Reader", "Record", "refuse_address"]

KINDS: dict[str, tuple[bool, bool]] = {"images": (True, False), "texts": (False, True), "pairs": (True, True)}
"""Kinds of records, each with (has an image, has a text)."""

# At least two characters before the colon: a single letter is a Windows drive.
_SCHEME = re.compile(r"^\s*[A-Za-z][A-Za-z0-9+.\-]+:")


class Record(TypedDict):
    """A decoded record.

    ``key`` identifies it within its file or shard; ``image`` is RGB, uint8 (H, W, 3), 0 to 255; ``text`` is never empty.
    """

    key: str
    image: NotRequired[np.ndarray]
    text: NotRequired[str]


class BadRecordError(Exception):
    """A record that cannot be used; the message gives the reason. ``RecordSource`` counts and skips such records."""


@dataclass(frozen=True)
class LazyRecord:
    """A record that is not decoded yet.

    Args:
        file: file or shard that contains it.
        key: identifies it within the file or shard.
        load: reads and decodes the record; raises ``BadRecordError`` if the record cannot be used.
    """

    file: str
    key: str
    load: Callable[[], Record]


@dataclass(frozen=True)
class Reader:
    """One of the processes that read data: worker ``worker`` of ``num_workers`` on rank ``rank`` of ``world_size``, from 0.

    Raises:
        ValueError: if ``rank`` or ``worker`` is out of range.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.world_size and 0 <= self.worker < self.num_workers):
            raise ValueError(f"{self}: rank must be below world_size, and worker below num_workers, all from 0")

    @property
    def index(self) -> int:
        """Index of this reader among the readers of all ranks, from 0."""
        return self.rank * self.num_workers + self.worker

    @property
    def count(self) -> int:
        """Number of readers on all ranks."""
        return self.world_size * self.num_workers


def refuse_address(path: str) -> None:
    """Check that a path is a local one and not a URL. A ``pipe:`` address would run a command.

    Raises:
        UserError: if the path begins with a scheme, such as ``pipe:`` or ``http:``.
    """
    if _SCHEME.match(path):
        raise UserError(
            f"'{path}' is refused: data is read from local paths only, as an address such as pipe: could run a command"
        )
