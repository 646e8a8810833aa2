"""Transfer of one file from one URL to disk, resumed after broken connections."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mmbeit3.downloads.cache import PartialFile
from mmbeit3.downloads.connection import RemoteFile, open_url, read_chunks
from mmbeit3.downloads.retry import CorruptError, PermanentError, RetryPolicy, StalePartError, TransientError
from mmbeit3.errors import UserError

__all__ = ["Report", "Verify", "transfer"]

Verify = Callable[[Path, str | None], None]
"""Verifies a complete file; takes its path and the SHA-256 that the server stated, and raises CorruptError."""

Report = Callable[[int, int | None, str], None]
"""Shows progress; takes the bytes so far, the total (None to keep the last one) and the last error."""

_PROGRESS = 1 << 20
"""New bytes that reset the count of failures: a poor connection does not end a download that advances."""


def transfer(url: str, part: PartialFile, size: int | None, policy: RetryPolicy, verify: Verify, report: Report) -> None:
    """Download a file, and resume it after failures if the server's ETag has not changed.

    Args:
        url: URL of the file.
        part: the partial file to write.
        size: size of the file in bytes, if known.
        policy: timeouts and retries.
        verify: called when all bytes have arrived.
        report: called as bytes arrive.

    Raises:
        PermanentError: if the source is given up. The partial file is kept, unless it is corrupt.
        UserError: if the partial file cannot be written.
    """
    failures = corrupt = 0
    furthest = part.size
    while True:
        try:
            verify(part.path, _receive(url, part, size, policy, report))
            return
        except TransientError as error:
            if part.size >= furthest + _PROGRESS:
                failures = 0
            furthest = max(furthest, part.size)
            failures += 1
            corrupt += isinstance(error, CorruptError)
            if isinstance(error, CorruptError | StalePartError):
                part.delete()
            if failures >= policy.tries or corrupt >= policy.corrupt_tries:
                raise PermanentError(f"{error} (tried {max(failures, corrupt)} times)") from error
            report(part.size, None, str(error))
            policy.wait(failures, error)


def _receive(url: str, part: PartialFile, size: int | None, policy: RetryPolicy, report: Report) -> str | None:
    """Complete the partial file; return the SHA-256 that the server stated."""
    state = part.state(url)
    start = part.size if state else 0
    if state and start == state["total"]:
        return state.get("sha256")
    with open_url(url, start, state.get("etag"), policy.timeout) as remote:
        if remote.start and (remote.start, remote.total, remote.etag) != (start, state.get("total"), state.get("etag")):
            raise StalePartError("the file changed on the server since the download began")
        if size is not None and remote.total is not None and remote.total != size:
            raise TransientError(f"the server's file has {remote.total} bytes, expected {size}")
        try:
            if not remote.start:
                part.restart(url, remote)
            _check_space(part, remote)
            with part.path.open("ab") as file:
                done = remote.start
                for chunk in read_chunks(remote, policy.timeout):
                    file.write(chunk)
                    done += len(chunk)
                    report(done, remote.total, "")
                    if size is not None and done > size:
                        raise CorruptError(f"more than the expected {size} bytes arrived")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"'{part.path}' cannot be written ({error}): free disk space, or set MMBEIT3_HOME") from error
        return remote.sha256 or state.get("sha256") if remote.start else remote.sha256


def _check_space(part: PartialFile, remote: RemoteFile) -> None:
    free = shutil.disk_usage(part.path.parent).free
    needed = 0 if remote.total is None else remote.total - remote.start
    if needed > free:
        raise UserError(
            f"'{part.path.parent}' has {free / 1e9:.2f} GB free, the download needs {needed / 1e9:.2f} GB: "
            "free disk space, or set MMBEIT3_HOME"
        )
