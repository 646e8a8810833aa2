"""What the rooms of the data code hand each other: a record, a promise of one, and a reader's place among the readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from typing_extensions import NotRequired, TypedDict

from mmbeit3.errors import UserError

__all__ = ["KINDS", "BadRecordError", "Entry", "Place", "Record", "refuse_address"]

KINDS: dict[str, tuple[bool, bool]] = {"images": (True, False), "texts": (False, True), "pairs": (True, True)}
"""Kinds of records: whether each has an image, and whether it has a text."""

# Two letters at least before the colon: one alone is a drive.
_SCHEME = re.compile(r"^\s*[A-Za-z][A-Za-z0-9+.\-]+:")


class Record(TypedDict):
    """One record as it was stored.

    ``key`` names it within its file or shard; ``image`` is RGB, uint8 (H, W, 3) in 0-255; ``text`` is never empty.
    """

    key: str
    image: NotRequired[np.ndarray]
    text: NotRequired[str]


class BadRecordError(Exception):
    """A record that cannot be used; the message says why. Counted and skipped by ``RecordSource``."""


@dataclass(frozen=True)
class Entry:
    """A record not yet decoded.

    Args:
        file: file or shard it comes from.
        key: its name in there.
        load: decodes it; raises ``BadRecordError``.
    """

    file: str
    key: str
    load: Callable[[], Record]


@dataclass(frozen=True)
class Place:
    """Which of all readers this is: worker ``worker`` of ``num_workers`` on rank ``rank`` of ``world_size``, all from 0.

    Raises:
        ValueError: if there is no such place.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.world_size and 0 <= self.worker < self.num_workers):
            raise ValueError(f"no such reader: {self}")

    @property
    def stream(self) -> int:
        """Number of this reader among all of all ranks."""
        return self.rank * self.num_workers + self.worker

    @property
    def streams(self) -> int:
        """How many readers there are on all ranks together."""
        return self.world_size * self.num_workers


def refuse_address(path: str) -> None:
    """Raise ``UserError`` unless it is a plain path: ``pipe:`` would run a command, and others need a program to fetch them."""
    if _SCHEME.match(path):
        raise UserError(
            f"'{path}' is refused: data is read from local paths only, and an address such as pipe: can run commands"
        )
