"""A small file of any address, into memory: what users name by hand, which is neither kept nor compared with a hash."""

from __future__ import annotations

import re
import time
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from mmbeit3.downloads.connection import Answer, BrokenError, RefusedError, open_source
from mmbeit3.downloads.places import is_offline
from mmbeit3.downloads.transfer import Patience
from mmbeit3.errors import UserError, printable

__all__ = ["fetch", "is_address", "quote_address"]

_CHUNK = 1 << 16
_PATIENCE = Patience(tries=3, pause=0.5)

_SLOWEST = 100
"""Bytes a second; a source slower than this over a whole timeout stalls."""


def is_address(name: str | Path) -> bool:
    """Whether a name is an ``http(s)://`` address, not a path."""
    return isinstance(name, str) and re.match(r"\s*https?://", name, re.IGNORECASE) is not None


def fetch(address: str, limit: int, patience: Patience = _PATIENCE) -> bytes:
    """Get what is at an address. Where the connection breaks it is asked for again.

    Args:
        address: ``http(s)://``; blanks and letters other than ASCII may stand in it as they are.
        limit: most bytes that are taken.
        patience: when to give up.

    Returns:
        All its bytes.

    Raises:
        UserError: if it cannot be had, is larger, or ``MMBEIT3_OFFLINE`` forbids to ask.
    """
    name = printable(address, 1000)
    if is_offline():
        raise UserError(f"'{name}' is not asked for, as MMBEIT3_OFFLINE is set: unset it, or give a path")
    url = quote_address(address)
    failures = 0
    while True:
        try:
            with open_source(url, 0, None, patience.timeout, leads_anywhere=True) as answer:
                return _read(answer, limit, patience.timeout)
        except RefusedError as problem:
            reason = str(problem)
        except BrokenError as problem:
            failures += 1
            if failures < patience.tries:
                time.sleep(min(max(patience.pause * 2 ** (failures - 1), problem.wait), patience.longest_pause))
                continue
            reason = f"{problem} (tried {failures} times)"
        raise UserError(f"'{name}' cannot be downloaded: {reason}; fetch it by hand and give its path")


def quote_address(address: str) -> str:
    """An address as it is asked for: what may not stand in one is quoted, what is quoted already stays.

    Raises:
        UserError: if it has no host, a user's name or a wrong port.
    """
    name = printable(address, 1000)
    try:
        parts = urlsplit(address.strip())
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise UserError(f"'{name}' is no address ({error}): give http(s)://HOST/PATH") from error
    if parts.username is not None:
        raise UserError(f"an address at {host} has a user's name in it: fetch the image by hand and give its path")
    if not re.fullmatch(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+", host):
        raise UserError(f"'{name}' is no address: give http(s)://HOST/PATH")
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, _quote(parts.path) or "/", _quote(parts.query), ""))


def _quote(part: str) -> str:
    literal = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", part)
    return quote(literal, safe="/?:@!$&'()*+,;=~%[]|", errors="surrogateescape")


def _read(answer: Answer, limit: int, timeout: float) -> bytes:
    if answer.total is not None and answer.total > limit:
        raise RefusedError(f"it has {answer.total} bytes, and {limit} are the most that are taken")
    content = bytearray()
    since, before = time.monotonic(), 0
    while True:
        try:
            chunk = answer.response.read1(_CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise BrokenError(f"the connection broke after {len(content)} bytes ({error or type(error).__name__})") from error
        if not chunk:
            break
        content += chunk
        if len(content) > limit:
            raise RefusedError(f"it has more than {limit} bytes, the most that are taken")
        if (elapsed := time.monotonic() - since) >= timeout:
            if len(content) - before < _SLOWEST * elapsed:
                raise BrokenError(f"it sent {len(content) - before} bytes in {elapsed:.0f} s")
            since, before = time.monotonic(), len(content)
    if answer.total is not None and len(content) != answer.total:
        raise BrokenError(f"the connection ended after {len(content)} of {answer.total} bytes")
    return bytes(content)
