"""Downloads into the cache: several sources, verification, and one download at a time per file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from mmbeit3.downloads.cache import PartialFile, cache_path, is_offline, read_sha256, sha256_path, write_sha256
from mmbeit3.downloads.progress import DownloadBar
from mmbeit3.downloads.retry import CorruptError, PermanentError, RetryPolicy
from mmbeit3.downloads.transfer import transfer
from mmbeit3.downloads.url import check_url
from mmbeit3.errors import UserError
from mmbeit3.files import hash_file

__all__ = ["download"]


def download(
    sources: Sequence[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    policy: RetryPolicy | None = None,
) -> Path:
    """Return a file from the cache, and download it first if it is not there.

    The file is hashed at each call. If ``sha256`` is not given, the SHA-256 of the first download is recorded beside the file,
    and files with another hash are rejected from then on, in the cache and from the network. If the cache is read-only, the
    file is used without a record, and a note is printed. Processes that need the same file wait for the first one.

    Args:
        sources: URLs of the same file, tried in order; the first one determines its :func:`~mmbeit3.downloads.cache_path`.
        size: expected size in bytes, if known.
        sha256: expected SHA-256 in hexadecimal, if known.
        check: checks a file whose SHA-256 is not known yet; raises UserError if the file is damaged.
        policy: timeouts and retries of each source.

    Returns:
        Path of the complete, verified file.

    Raises:
        UserError: if no source provides the file, it is not cached in offline mode, or it fails verification.
    """
    for url in sources:
        check_url(url)
    target = cache_path(sources[0])
    expected = _Expected(size, sha256, check)
    if not target.is_file():
        if is_offline():
            raise UserError(f"'{target}' is not cached and MMBEIT3_OFFLINE is set: unset it, or save {sources[0]} there")
        with _lock(target):
            # Another process may have downloaded it in the meantime.
            if not target.is_file():
                _download(sources, target, expected, policy or RetryPolicy())
                return target
    _verify_cached(target, expected)
    return target


@dataclass(frozen=True)
class _Expected:
    """Known properties of a file, see :func:`download`."""

    size: int | None
    sha256: str | None
    check: Callable[[Path], object] | None


def _verify_cached(target: Path, expected: _Expected) -> None:
    remedy = "delete it to download it again"
    try:
        size, digest = target.stat().st_size, hash_file(target)
        sha256 = expected.sha256 or read_sha256(target)
    except OSError as error:
        raise UserError(f"'{target}' cannot be read ({error})") from error
    if expected.size is not None and size != expected.size:
        raise UserError(f"'{target}' has {size} bytes, expected {expected.size}: {remedy}")
    if sha256 is not None and digest != sha256:
        raise UserError(f"'{target}' has changed: its SHA-256 begins with {digest[:12]}, expected {sha256[:12]}; {remedy}")
    if sha256 is None:
        if expected.check is not None:
            expected.check(target)
        try:
            write_sha256(target, digest)
        except UserError as error:
            # For example a shared, read-only cache.
            print(f"note: the SHA-256 of '{target.name}' is not recorded: {error}", file=sys.stderr)


def _download(sources: Sequence[str], target: Path, expected: _Expected, policy: RetryPolicy) -> None:
    sha256 = expected.sha256 or read_sha256(target)
    digest = ""

    def verify(path: Path, stated: str | None) -> None:
        nonlocal digest
        digest = hash_file(path)
        if stated is not None and digest != stated:
            raise CorruptError(f"its SHA-256 begins with {digest[:12]}, the server states {stated[:12]}")
        if expected.size is not None and path.stat().st_size != expected.size:
            raise CorruptError(f"{path.stat().st_size} bytes arrived, expected {expected.size}")
        if sha256 is not None and digest != sha256:
            origin = "" if expected.sha256 else f" as recorded in '{sha256_path(target)}'"
            raise CorruptError(f"its SHA-256 begins with {digest[:12]}, expected {sha256[:12]}{origin}")
        if sha256 is None and expected.check is not None:
            try:
                expected.check(path)
            except UserError as error:
                raise CorruptError(str(error).replace(str(path), target.name)) from error

    part = PartialFile(target)
    problems = []
    with DownloadBar(target.name) as bar:
        for url in sources:
            try:
                transfer(url, part, expected.size, policy, verify, bar)
                break
            except PermanentError as error:
                problems.append(f"{urlsplit(url).hostname}: {error}")
        else:
            raise UserError(
                f"'{target.name}' cannot be downloaded ({'; '.join(problems)}): try again later to resume, "
                f"or save {sources[0]} as '{target}'"
            )
    if read_sha256(target) != digest:
        write_sha256(target, digest)
    part.move_to(target)


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Hold the lock of a file; the operating system releases it when the process dies."""
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
            f"'{target.parent}' cannot be written or locked ({error}): set MMBEIT3_HOME to a folder that you can write to"
        ) from error
    try:
        yield
    finally:
        lock.release()
