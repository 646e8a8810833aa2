"""A file from the first of its sources that gives it, checked, and never there by half."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from mmbeit3.downloads.connection import RefusedError, SpoiledError, check_address
from mmbeit3.downloads.part import Part
from mmbeit3.downloads.places import is_offline, place_of
from mmbeit3.downloads.progress import DownloadBar
from mmbeit3.downloads.record import place_of_record, read_record, write_record
from mmbeit3.downloads.transfer import Patience, transfer
from mmbeit3.errors import UserError
from mmbeit3.files import hash_file

__all__ = ["download"]


def download(
    sources: Sequence[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    patience: Patience | None = None,
) -> Path:
    """Get a file, from the cache if it is there.

    The file is hashed at each call. Where its SHA-256 is not known beforehand, the first one is recorded beside the file, and
    any other is refused from then on, also from the network; in a cache that cannot be written, the file is used without a
    record, with a note. Processes that want the same file wait for the first.

    Args:
        sources: addresses of the same bytes, tried one after the other; the first decides the place in the cache
            (:func:`~mmbeit3.downloads.place_of`).
        size: its bytes, if known.
        sha256: its hash, hexadecimal, if known.
        check: reads a file before its hash is recorded, and raises UserError if it is damaged.
        patience: when a source is given up.

    Returns:
        Path of the whole, checked file.

    Raises:
        UserError: if no source gives it, offline mode forbids to ask, or what is there is not what it was.
    """
    for url in sources:
        check_address(url)
    target = place_of(sources[0])
    if not target.is_file():
        if is_offline():
            raise UserError(f"'{target}' is not there, and MMBEIT3_OFFLINE is set: put {sources[0]} there, or unset it")
        with _alone(target):
            # Another process may have brought it in meanwhile.
            if not target.is_file():
                _bring(sources, target, _Known(size, sha256, check), patience or Patience())
                return target
    _confirm(target, _Known(size, sha256, check))
    return target


@dataclass(frozen=True)
class _Known:
    """What is known of a file before it is seen."""

    size: int | None
    sha256: str | None
    check: Callable[[Path], object] | None


def _confirm(target: Path, known: _Known) -> None:
    """Compare a file that is there with what is known of it, or with what it was."""
    again = "delete it to download it again"
    try:
        size, digest = target.stat().st_size, hash_file(target)
        expected = known.sha256 or read_record(target)
    except OSError as error:
        raise UserError(f"'{target}' cannot be read ({error})") from error
    if known.size is not None and size != known.size:
        raise UserError(f"'{target}' has {size} bytes instead of {known.size}: {again}")
    if expected is not None and digest != expected:
        raise UserError(f"'{target}' is not what it was: its SHA-256 begins {digest[:12]} instead of {expected[:12]}; {again}")
    if expected is None:
        if known.check is not None:
            known.check(target)
        try:
            write_record(target, digest)
        except UserError as error:
            # A cache that others filled, and that is not for us to write.
            print(f"note: '{target.name}' is used without a record of its SHA-256: {error}", file=sys.stderr)


def _bring(sources: Sequence[str], target: Path, known: _Known, patience: Patience) -> None:
    expected = known.sha256 or read_record(target)
    digest = ""

    def judge(path: Path, stated: Mapping[str, str]) -> None:
        """The known hash decides; without one, what the source states, and whether the file can be read."""
        nonlocal digest
        digest = hash_file(path)
        for name, value in stated.items():
            if (digest if name == "sha256" else hash_file(path, name)) != value:
                raise SpoiledError(f"its {name} is not the one that the source states")
        if known.size is not None and path.stat().st_size != known.size:
            raise SpoiledError(f"{path.stat().st_size} bytes came instead of {known.size}")
        if expected is not None and digest != expected:
            whence = "known" if known.sha256 else f"in '{place_of_record(target)}'"
            raise SpoiledError(f"its SHA-256 begins {digest[:12]} instead of {expected[:12]}, which is {whence}")
        if expected is None and known.check is not None:
            try:
                known.check(path)
            except UserError as error:
                raise SpoiledError(str(error).replace(str(path), target.name)) from error

    part = Part(target)
    problems = []
    with DownloadBar(target.name) as bar:
        for url in sources:
            try:
                transfer(url, part, known.size, patience, judge, bar)
                break
            except RefusedError as problem:
                problems.append(f"{urlsplit(url).hostname}: {problem}")
        else:
            raise UserError(
                f"'{target.name}' cannot be downloaded ({'; '.join(problems)}): try again later, what came is kept, "
                f"or put {sources[0]} at '{target}' by hand"
            )
    if read_record(target) != digest:
        write_record(target, digest)
    part.become(target)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the file's lock, which the system releases when a process dies."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that downloads '{target.name}'", file=sys.stderr)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"'{target.parent}' cannot be written or locked ({error}): set MMBEIT3_HOME to a folder of yours"
        ) from error
    try:
        yield
    finally:
        lock.release()
