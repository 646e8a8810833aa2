"""Small files from any URL, read into memory without caching or verification."""

from __future__ import annotations

from mmbeit3.downloads.cache import is_offline
from mmbeit3.downloads.connection import RemoteFile, open_url, read_chunks
from mmbeit3.downloads.retry import PermanentError, RetryPolicy, TransientError
from mmbeit3.downloads.url import quote_url
from mmbeit3.errors import UserError, printable

__all__ = ["fetch"]

_POLICY = RetryPolicy(tries=3, backoff=0.5)


def fetch(url: str, limit: int, policy: RetryPolicy = _POLICY) -> bytes:
    """Read the content of a URL; broken connections are retried from the start.

    Args:
        url: ``http(s)://`` URL; it may contain spaces and non-ASCII letters.
        limit: maximum size in bytes.
        policy: timeouts and retries.

    Returns:
        The whole content.

    Raises:
        UserError: if the download fails, the content is larger than ``limit``, or ``MMBEIT3_OFFLINE`` is set.
    """
    name = printable(url, 1000)
    if is_offline():
        raise UserError(f"'{name}' is not downloaded because MMBEIT3_OFFLINE is set: unset it, or give a path")
    url = quote_url(url)
    failures = 0
    while True:
        try:
            with open_url(url, 0, None, policy.timeout, any_host=True) as remote:
                return _read(remote, limit, policy.timeout)
        except PermanentError as error:
            reason = str(error)
        except TransientError as error:
            failures += 1
            if failures < policy.tries:
                policy.wait(failures, error)
                continue
            reason = f"{error} (tried {failures} times)"
        raise UserError(f"'{name}' cannot be downloaded: {reason}; download it yourself and give its path")


def _read(remote: RemoteFile, limit: int, timeout: float) -> bytes:
    if remote.total is not None and remote.total > limit:
        raise PermanentError(f"the file has {remote.total} bytes, the limit is {limit}")
    content = bytearray()
    for chunk in read_chunks(remote, timeout):
        content += chunk
        if len(content) > limit:
            raise PermanentError(f"the file has more than {limit} bytes, the limit")
    return bytes(content)
