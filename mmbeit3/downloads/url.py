"""Recognizing, checking and quoting URLs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from mmbeit3.errors import UserError, printable

__all__ = ["LOCAL_HOSTS", "check_url", "is_url", "quote_url"]

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Hosts that may be reached by plain http."""


def is_url(name: str | Path) -> bool:
    """Return True if a name is an ``http(s)://`` URL, False if it is a path."""
    return isinstance(name, str) and re.match(r"\s*https?://", name, re.IGNORECASE) is not None


def check_url(url: str) -> None:
    """Check the URL of a file that is to be cached: https, or http on this machine.

    Raises:
        UserError: if the URL is not valid, not https, or contains a user name.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"'{url}' is not a valid file URL ({error}): expected https://HOST/PATH") from error
    if not parts.hostname or parts.username is not None or not parts.path.strip("/"):
        raise UserError(f"'{url}' is not a valid file URL: expected https://HOST/PATH without a user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        raise UserError(f"'{url}' is not https, so its content cannot be trusted: download it yourself and give its path")


def quote_url(url: str) -> str:
    """Percent-encode the characters that a URL may not contain; escapes that are already there stay.

    Raises:
        UserError: if the URL has no valid host or port, or contains a user name.
    """
    name = printable(url, 1000)
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise UserError(f"'{name}' is not a valid URL ({error}): expected http(s)://HOST/PATH") from error
    if parts.username is not None:
        # The message does not repeat the URL, which may contain a password.
        raise UserError(f"the URL at host {host} contains a user name: download the file yourself and give its path")
    if not re.fullmatch(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+", host):
        raise UserError(f"'{name}' is not a valid URL: expected http(s)://HOST/PATH")
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, _quote(parts.path) or "/", _quote(parts.query), ""))


def _quote(part: str) -> str:
    literal = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", part)
    return quote(literal, safe="/?:@!$&'()*+,;=~%[]|", errors="surrogateescape")
