"""From one source to a file, over any number of broken connections."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from mmbeit3.downloads.connection import Answer, BrokenError, RefusedError, SpoiledError, StaleError, open_source
from mmbeit3.downloads.part import Part
from mmbeit3.errors import UserError

__all__ = ["Check", "Patience", "Report", "transfer"]

Check = Callable[[Path, Mapping[str, str]], None]
"""Judges a file that came whole, with the hashes that its source stated; raises SpoiledError if it is not what it should be."""

Report = Callable[[int, int | None, str], None]
"""Is told how many bytes are there, of how many, and what the last trouble was."""

_CHUNK = 1 << 20
_PROGRESS = 1 << 20
"""Bytes further than ever before after which failures are counted from none: a bad line ends no download that goes on."""

_SLOWEST = 100
"""Bytes a second; a source slower than this over a whole timeout stalls."""


@dataclass(frozen=True)
class Patience:
    """How long a source is put up with.

    Attributes:
        timeout: seconds without a sign of life after which a connection is given up.
        tries: failures in a row after which the source is.
        spoils: times that a file may come whole and wrong before the source is given up.
        pause: seconds before the second try; doubled before each further one.
        longest_pause: at most, also where the source asks for more.
    """

    timeout: float = 30.0
    tries: int = 5
    spoils: int = 2
    pause: float = 1.0
    longest_pause: float = 60.0


def transfer(url: str, part: Part, size: int | None, patience: Patience, check: Check, report: Report) -> None:
    """Bring a file in, going on after failures where the source has a version that did not change.

    Args:
        url: the address.
        part: where the content goes.
        size: bytes of the file, if known.
        patience: when to give up.
        check: called when all bytes are there.
        report: called as they come.

    Raises:
        RefusedError: when the source is given up; what came stays for the next time unless it was wrong.
        UserError: if it cannot be written.
    """
    failures = spoils = 0
    furthest = part.size
    while True:
        try:
            digests = _receive_rest(url, part, size, patience, report)
            check(part.path, digests)
            return
        except BrokenError as problem:
            if part.size >= furthest + _PROGRESS:
                failures = 0
            furthest = max(furthest, part.size)
            failures += 1
            spoils += isinstance(problem, SpoiledError)
            if isinstance(problem, SpoiledError | StaleError):
                part.discard()
            if failures >= patience.tries or spoils >= patience.spoils:
                raise RefusedError(f"{problem} (tried {max(failures, spoils)} times)") from problem
            report(part.size, None, str(problem))
            time.sleep(min(max(patience.pause * 2 ** (failures - 1), problem.wait), patience.longest_pause))


def _receive_rest(url: str, part: Part, size: int | None, patience: Patience, report: Report) -> Mapping[str, str]:
    known: dict[str, Any] = part.known(url)
    start = part.size if known else 0
    if known and start == known["total"]:
        return known["digests"]
    with open_source(url, start, known.get("etag"), patience.timeout) as answer:
        if answer.start and (answer.start, answer.total, answer.etag) != (start, known.get("total"), known.get("etag")):
            raise StaleError("the file changed since its download began")
        if size is not None and answer.total is not None and answer.total != size:
            raise BrokenError(f"it offers {answer.total} bytes, and the file has {size}")
        try:
            if not answer.start:
                part.begin(url, answer)
            _make_sure_of_space(part, answer)
            _write(answer, part, size, patience, report)
        except OSError as error:
            raise UserError(f"'{part.path}' cannot be written ({error}): make room, or set MMBEIT3_HOME") from error
        return {**known["digests"], **answer.digests} if answer.start else answer.digests


def _make_sure_of_space(part: Part, answer: Answer) -> None:
    free = shutil.disk_usage(part.path.parent).free
    coming = 0 if answer.total is None else answer.total - answer.start
    if coming > free:
        raise UserError(
            f"'{part.path.parent}' has room for {free / 1e9:.2f} GB, and {coming / 1e9:.2f} are to come: make room, "
            "or set MMBEIT3_HOME"
        )


def _write(answer: Answer, part: Part, size: int | None, patience: Patience, report: Report) -> None:
    done = answer.start
    with part.path.open("ab") as file:
        since, before = time.monotonic(), done
        while True:
            try:
                chunk = answer.response.read1(_CHUNK)
            except (OSError, HTTPException) as error:
                raise BrokenError(f"the connection broke after {done} bytes ({error or type(error).__name__})") from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            report(done, answer.total, "")
            if size is not None and done > size:
                raise SpoiledError(f"more than the file's {size} bytes came")
            if (elapsed := time.monotonic() - since) >= patience.timeout:
                if done - before < _SLOWEST * elapsed:
                    raise BrokenError(f"it sent {done - before} bytes in {elapsed:.0f} s")
                since, before = time.monotonic(), done
        file.flush()
        os.fsync(file.fileno())
    if answer.total is not None and done != answer.total:
        raise BrokenError(f"the connection ended after {done} of {answer.total} bytes")
