"""One request for a file, or for the rest of it, and what the answer says about the whole."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mmbeit3.errors import UserError, one_line

__all__ = ["REDIRECTS", "Answer", "BrokenError", "RefusedError", "SpoiledError", "StaleError", "check_address", "open_source"]

REDIRECTS: dict[str, tuple[str, ...]] = {
    "github.com": ("objects.githubusercontent.com", "release-assets.githubusercontent.com"),
    "huggingface.co": (".huggingface.co", ".hf.co"),
}
"""The storage hosts that a host may lead on to, besides itself; one that begins with a dot stands for all below it."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_LATER = (408, 425, 429)
"""Statuses of clients' errors after which asking again helps."""


class RefusedError(Exception):
    """What a source answered, in a few words; asking it again would not help."""


class BrokenError(Exception):
    """A transfer that may go on when asked again.

    Args:
        problem: what happened, in a few words.
        wait: seconds that the source asks to wait.
    """

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait


class StaleError(BrokenError):
    """What came so far is no beginning of what the source has now."""


class SpoiledError(BrokenError):
    """The whole file came, and is not what it should be."""


@dataclass(frozen=True)
class Answer:
    """An open response.

    Attributes:
        response: its body, still to be read.
        start: byte of the file at which the body begins.
        total: bytes of the whole file, where it is said.
        etag: the file's version, if the source promises that equal ones mean equal bytes.
        digests: hashes of the whole file, hexadecimal, by their names in hashlib.
    """

    response: HTTPResponse
    start: int
    total: int | None
    etag: str | None
    digests: dict[str, str] = field(default_factory=dict)


def check_address(url: str) -> None:
    """Refuse what is not https, but for plain http on this machine.

    Raises:
        UserError: with what to do instead.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"'{url}' is no address of a file ({error})") from error
    if not parts.hostname or parts.username is not None or not parts.path.strip("/"):
        raise UserError(f"'{url}' is no address of a file: expected https://HOST/PATH without a user's name")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise UserError(
            f"'{url}' is not https, so that what comes could be anybody's: fetch the file by hand and give its path"
        )


@contextmanager
def open_source(url: str, start: int, etag: str | None, timeout: float, leads_anywhere: bool = False) -> Iterator[Answer]:
    """Ask for a file from a byte on, provided that it still has a version; otherwise, for all of it.

    Proxies are those of the environment (``https_proxy``, ``no_proxy`` …).

    Args:
        url: the address.
        start: bytes that are there already.
        etag: their version; needed if ``start`` is not 0.
        timeout: seconds without a sign of life after which the connection is given up.
        leads_anywhere: whether the source may lead on to any host; else to its own, see :data:`REDIRECTS`.

    Raises:
        RefusedError: by the source, or because it leads to a host that is not its own.
        BrokenError: if no sound answer came.
    """
    headers = {"User-Agent": "mmbeit3", "Accept-Encoding": "identity"}
    if start and etag:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    redirects = _Redirects(None if leads_anywhere else url)
    try:
        response = build_opener(redirects).open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            raise _judge(error) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefusedError(f"its certificate is not valid ({error.reason.verify_message})") from error
        raise BrokenError(_words(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise BrokenError(_words(error)) from error
    except ValueError as error:
        raise RefusedError(f"it leads to an address that is none ({error})") from error
    with response:
        yield _understand(response, redirects.stated)


class _Redirects(HTTPRedirectHandler):
    """Follows a source to its own hosts only, or to any, and keeps what it states about the file on the way.

    Args:
        source: the address that was asked for; None to follow to any host.
    """

    def __init__(self, source: str | None) -> None:
        self._source = source
        self.stated: dict[str, str] = {}

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Refuse a host that the source may not lead to."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise RefusedError("it leads on to what is no address of the web")
        if self._source is not None and not _may_lead(self._source, newurl):
            raise RefusedError(f"it leads on to {_origin(newurl)}, which is none of its hosts")
        self.stated |= _linked(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _may_lead(source: str, target: str) -> bool:
    here, there = urlsplit(source), urlsplit(target)
    if there.username is not None:
        return False
    if _origin(source) == _origin(target):
        return True
    if there.scheme != "https" and not (here.scheme == "http" and there.hostname in _LOCAL):
        return False
    host = there.hostname or ""
    allowed = REDIRECTS.get(here.hostname or "", ())
    return any(host.endswith(other) if other.startswith(".") else host == other for other in allowed)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _judge(error: HTTPError) -> Exception:
    if error.code == 416:
        return StaleError("it has no bytes after those that came")
    if error.code >= 500 or error.code in _LATER:
        seconds = error.headers.get("Retry-After", "")
        return BrokenError(f"status {error.code}", wait=float(seconds) if re.fullmatch(r"\d{1,4}", seconds) else 0.0)
    if error.code < 400:
        # The one thing besides a circle that urllib stops at: an address of another scheme.
        elsewhere = "is not allowed" in str(error.reason)
        return RefusedError("it leads on to what is no address of the web" if elsewhere else "it leads on and on")
    return RefusedError(f"status {error.code} ({' '.join(str(error.reason).split())[:60]})")


def _understand(response: HTTPResponse, stated: Mapping[str, str]) -> Answer:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError(f"it sends the file packed ({headers['Content-Encoding']}), which was not asked for")
    start, total = 0, response.length
    digests = {**stated, **_linked(headers), **_digests(headers, whole=response.status == 200)}
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if match is None:
            raise StaleError("it sends a part and does not say which")
        start, total = int(match[1]), int(match[3])
    elif response.status != 200:
        raise RefusedError(f"status {response.status} without a file")
    size = digests.pop("size", None)
    if size is not None and total is not None and int(size) != total:
        raise BrokenError(f"it announces {size} bytes and sends {total}")
    etag = headers.get("ETag")
    return Answer(response, start, total, etag if etag and not etag.startswith("W/") else None, digests)


def _linked(headers: Message) -> dict[str, str]:
    """Size and SHA-256 of the file that Hugging Face's hub leads on to."""
    stated = {}
    if re.fullmatch(r"\d{1,15}", headers.get("X-Linked-Size", "")):
        stated["size"] = headers["X-Linked-Size"]
    if match := re.fullmatch(r'"?([0-9a-f]{64})"?', headers.get("X-Linked-ETag", "")):
        stated["sha256"] = match[1]
    return stated


def _digests(headers: Message, whole: bool) -> dict[str, str]:
    """Hashes in the standard headers (RFC 9530; RFC 1864 where the body is the whole file) and in Azure's."""
    found = {}
    if match := re.search(r"sha-256=:([A-Za-z0-9+/=]+):", headers.get("Repr-Digest", "")):
        found["sha256"] = match[1]
    md5 = headers.get("x-ms-blob-content-md5") or (headers.get("Content-MD5") if whole else None)
    if md5:
        found["md5"] = md5
    digests = {}
    for name, text in found.items():
        try:
            digests[name] = base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError) as error:
            raise BrokenError(f"the hash that it states is none ({error})") from error
    return digests


def _words(error: object) -> str:
    text = one_line(error)
    return text[:120] if text else type(error).__name__
