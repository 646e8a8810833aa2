"""Where on disk a download lies."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmbeit3.downloads.connection import check_address
from mmbeit3.errors import UserError
from mmbeit3.files import cache_home

__all__ = ["is_offline", "place_of"]

_SEGMENT = re.compile(r"[A-Za-z0-9_~%+@=,-][A-Za-z0-9_~%+@=,.-]*")
"""A folder's or file's name in an address. None begins with a dot: those are this package's own files beside a download."""


def place_of(url: str) -> Path:
    """The path of an address's file: ``$MMBEIT3_HOME/downloads/HOST/PATH``, by default under ``~/.cache/mmbeit3``.

    A query becomes eight hexadecimal digits in the file's name.

    Raises:
        UserError: if the address is none that may be downloaded, or its path would lead out of its folder.
    """
    check_address(url)
    parts = urlsplit(url)
    segments = parts.path.lstrip("/").split("/")
    for segment in segments:
        plain = unquote(segment)
        if not _SEGMENT.fullmatch(segment) or plain.startswith(".") or re.search(r"[/\\\x00-\x1f]", plain):
            raise UserError(f"address '{url}' names no file that may be kept: '{segment}' is no plain name of a file or folder")
    if parts.query:
        name = Path(segments[-1])
        segments[-1] = f"{name.stem}-{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}{name.suffix}"
    host = f"{parts.hostname}_{parts.port}" if parts.port else str(parts.hostname)
    return cache_home().joinpath("downloads", host.replace(":", "_"), *segments)


def is_offline() -> bool:
    """Whether ``MMBEIT3_OFFLINE`` forbids downloads; unset, empty, ``0`` and ``false`` allow them."""
    return os.environ.get("MMBEIT3_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")
