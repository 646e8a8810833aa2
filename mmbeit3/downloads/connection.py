"""One HTTP request for a file or for the rest of it."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mmbeit3.downloads.retry import PermanentError, StalePartError, TransientError
from mmbeit3.downloads.url import LOCAL_HOSTS
from mmbeit3.errors import one_line

__all__ = ["REDIRECTS", "RemoteFile", "open_url", "read_chunks"]

REDIRECTS: dict[str, tuple[str, ...]] = {
    "github.com": ("codeload.github.com", "objects.githubusercontent.com", "release-assets.githubusercontent.com"),
    "huggingface.co": (".huggingface.co", ".hf.co"),
}
"""Storage hosts to which a host may redirect, besides itself. A leading dot stands for all subdomains."""

_RETRIED_STATUSES = (408, 425, 429)
"""4xx statuses after which a retry can succeed."""

_CHUNK = 1 << 20

_MIN_SPEED = 100
"""Bytes per second; a connection that is slower over a whole timeout is closed."""


@dataclass(frozen=True)
class RemoteFile:
    """An open response.

    Attributes:
        response: the body, not yet read.
        start: offset in the file at which the body begins.
        total: size of the whole file in bytes; None if the server does not state it.
        etag: the strong ETag of the file; None if there is none.
        sha256: hash of the whole file that Hugging Face's hub states; None from other hosts.
    """

    response: HTTPResponse
    start: int
    total: int | None
    etag: str | None
    sha256: str | None = None


@contextmanager
def open_url(url: str, start: int, etag: str | None, timeout: float, any_host: bool = False) -> Iterator[RemoteFile]:
    """Request a file from an offset on; if its ETag has changed, request the whole file.

    Proxies are read from the environment (``https_proxy``, ``no_proxy`` …).

    Args:
        url: URL of the file.
        start: bytes that are already on disk.
        etag: ETag of these bytes; required if ``start`` is not 0.
        timeout: seconds without data after which the connection is closed.
        any_host: allow redirects to any host instead of those in :data:`REDIRECTS`.

    Raises:
        PermanentError: if the server refuses the request, or redirects to a host that is not allowed.
        TransientError: if there is no valid response.
    """
    headers = {"User-Agent": "mmbeit3", "Accept-Encoding": "identity"}
    if start and etag:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    redirects = _Redirects(None if any_host else url)
    try:
        response = build_opener(redirects).open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            raise _error_of_status(error) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise PermanentError(f"the server's certificate is not valid ({error.reason.verify_message})") from error
        raise TransientError(_describe(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise TransientError(_describe(error)) from error
    except ValueError as error:
        raise PermanentError(f"the server redirects to an invalid URL ({error})") from error
    with response:
        yield _parse_response(response, redirects.sha256)


def read_chunks(remote: RemoteFile, timeout: float) -> Iterator[bytes]:
    """Read the body to its end.

    Args:
        remote: an open response.
        timeout: seconds over which the speed is measured.

    Raises:
        TransientError: if the connection breaks, closes early, or is too slow.
    """
    done = before = remote.start
    since = time.monotonic()
    while True:
        try:
            chunk = remote.response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise TransientError(f"the connection broke after {done} bytes ({error or type(error).__name__})") from error
        if not chunk:
            break
        done += len(chunk)
        yield chunk
        if (elapsed := time.monotonic() - since) >= timeout:
            if done - before < _MIN_SPEED * elapsed:
                raise TransientError(f"only {done - before} bytes arrived in {elapsed:.0f} s")
            since, before = time.monotonic(), done
    if remote.total is not None and done != remote.total:
        raise TransientError(f"the connection closed after {done} of {remote.total} bytes")


class _Redirects(HTTPRedirectHandler):
    """Follow redirects to allowed hosts, and keep the hash that Hugging Face's hub states in them.

    Args:
        source: the requested URL; None to allow any host.
    """

    def __init__(self, source: str | None) -> None:
        self._source = source
        self.sha256: str | None = None

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Return the next request; raise PermanentError if its host is not allowed."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise PermanentError("the server redirects to a URL that is not http(s)")
        if self._source is not None and not _redirect_allowed(self._source, newurl):
            raise PermanentError(f"the server redirects to {_origin(newurl)}, which is not one of its storage hosts")
        if match := re.fullmatch(r'"?([0-9a-f]{64})"?', headers.get("X-Linked-ETag", "")):
            self.sha256 = match[1]
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _redirect_allowed(source: str, target: str) -> bool:
    here, there = urlsplit(source), urlsplit(target)
    if there.username is not None:
        return False
    if _origin(source) == _origin(target):
        return True
    if there.scheme != "https" and not (here.scheme == "http" and there.hostname in LOCAL_HOSTS):
        return False
    host = there.hostname or ""
    allowed = REDIRECTS.get(here.hostname or "", ())
    return any(host.endswith(other) if other.startswith(".") else host == other for other in allowed)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _error_of_status(error: HTTPError) -> Exception:
    if error.code == 416:
        return StalePartError("the server's file is shorter than the partial download")
    if error.code >= 500 or error.code in _RETRIED_STATUSES:
        seconds = error.headers.get("Retry-After", "")
        return TransientError(f"status {error.code}", float(seconds) if re.fullmatch(r"\d{1,4}", seconds) else 0.0)
    if error.code < 400:
        # urllib stops at redirects to other schemes and at loops.
        other_scheme = "is not allowed" in str(error.reason)
        return PermanentError(f"the server redirects {'to a URL that is not http(s)' if other_scheme else 'in a loop'}")
    return PermanentError(f"status {error.code} ({' '.join(str(error.reason).split())[:60]})")


def _parse_response(response: HTTPResponse, sha256: str | None) -> RemoteFile:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise PermanentError(f"the server compresses the file ({headers['Content-Encoding']}) although it was asked not to")
    start, total = 0, response.length
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if match is None:
            raise StalePartError("the server sent a part of the file without a valid Content-Range")
        start, total = int(match[1]), int(match[3])
    elif response.status != 200:
        raise PermanentError(f"status {response.status} without a file")
    etag = headers.get("ETag")
    return RemoteFile(response, start, total, etag if etag and not etag.startswith("W/") else None, sha256)


def _describe(error: object) -> str:
    text = one_line(error)
    return text[:120] if text else type(error).__name__
