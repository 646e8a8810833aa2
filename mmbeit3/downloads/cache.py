"""Files of the download cache: the file itself, its partial download and its recorded SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mmbeit3.downloads.connection import RemoteFile
from mmbeit3.downloads.url import check_url
from mmbeit3.errors import UserError
from mmbeit3.files import cache_home, write_atomically

__all__ = ["PartialFile", "cache_path", "is_offline", "read_sha256", "sha256_path", "write_sha256"]

_SEGMENT = re.compile(r"[A-Za-z0-9_~%+@=,-][A-Za-z0-9_~%+@=,.-]*")
"""A file or folder name in a URL. It may not begin with a dot: the hidden files beside a download are this package's."""


def cache_path(url: str) -> Path:
    """Return where the file of a URL is cached: ``$MMBEIT3_HOME/downloads/HOST/PATH``, by default under ``~/.cache/mmbeit3``.

    A query string is replaced by eight hexadecimal digits of its hash in the file name.

    Raises:
        UserError: if the URL is not valid, or its path would leave the cache folder.
    """
    check_url(url)
    parts = urlsplit(url)
    segments = parts.path.lstrip("/").split("/")
    for segment in segments:
        plain = unquote(segment)
        if not _SEGMENT.fullmatch(segment) or plain.startswith(".") or re.search(r"[/\\\x00-\x1f]", plain):
            raise UserError(f"URL '{url}' cannot be cached: '{segment}' is not a plain file or folder name")
    if parts.query:
        name = Path(segments[-1])
        segments[-1] = f"{name.stem}-{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}{name.suffix}"
    host = f"{parts.hostname}_{parts.port}" if parts.port else str(parts.hostname)
    return cache_home().joinpath("downloads", host.replace(":", "_"), *segments)


def is_offline() -> bool:
    """Return True if ``MMBEIT3_OFFLINE`` is set to anything but ``0``, ``false``, ``no``, ``off`` or the empty string."""
    return os.environ.get("MMBEIT3_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


class PartialFile:
    """An incomplete download: the bytes so far, and a JSON file with the URL and version that they belong to.

    Args:
        target: path of the complete file; both files lie beside it.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._state = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes on disk."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def state(self, url: str) -> dict[str, Any]:
        """Return ``total``, ``etag`` and ``sha256`` of the file that this is a part of.

        The result is empty if the download cannot be resumed: there are no bytes, they came from another URL, or size or ETag
        are unknown.
        """
        try:
            state = json.loads(self._state.read_bytes())
        except (OSError, ValueError):
            return {}
        valid = isinstance(state, dict) and state.get("url") == url and state.get("etag") and state.get("total")
        return state if valid and 0 < self.size <= state["total"] else {}

    def restart(self, url: str, remote: RemoteFile) -> None:
        """Delete the bytes, and store the version of the response that follows."""
        self.delete()
        state = {"url": url, "etag": remote.etag, "total": remote.total, "sha256": remote.sha256}
        # Not written atomically: a damaged state only means that the download starts over.
        self._state.write_text(json.dumps(state), encoding="utf-8")

    def delete(self) -> None:
        """Delete both files."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        """Rename the complete file to its final name."""
        self.path.replace(target)
        self._state.unlink(missing_ok=True)


def sha256_path(path: Path) -> Path:
    """Return the path of the file that records a download's SHA-256, in the format of ``sha256sum``."""
    return path.with_name(f".{path.name}.sha256")


def read_sha256(path: Path) -> str | None:
    """Return the recorded SHA-256 of a download, or None if there is no record.

    Raises:
        UserError: if the record cannot be parsed.
    """
    record = sha256_path(path)
    if not record.is_file():
        return None
    match = re.match(rb"([0-9a-f]{64})\s", record.read_bytes())
    if match is None:
        raise UserError(f"'{record}' contains no SHA-256: delete it and '{path.name}' beside it, and download again")
    return match[1].decode()


def write_sha256(path: Path, digest: str) -> None:
    """Record the SHA-256 of a download.

    Raises:
        UserError: if the record cannot be written.
    """
    write_atomically(sha256_path(path), f"{digest}  {path.name}\n".encode())
