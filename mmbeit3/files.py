"""The folder of this package's own files, files' hashes, and writing files that are never there by half."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mmbeit3.errors import UserError

__all__ = ["atomic_file", "cache_home", "hash_file", "refuse_overwriting", "write_atomically"]


def cache_home() -> Path:
    """The folder for what is kept between runs: ``$MMBEIT3_HOME``, else ``mmbeit3`` in the user's cache."""
    home = os.environ.get("MMBEIT3_HOME")
    return Path(home).expanduser() if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmbeit3"


def hash_file(path: str | Path, name: str = "sha256") -> str:
    """A file's hash, hexadecimal, by its name in hashlib."""
    digest = hashlib.new(name)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to be written such that at any moment either the old or the whole new content is there, also after a crash.

    Args:
        path: the file; its folder is made if need be.

    Yields:
        A file of another name, which gets the path's when it is complete; after an error it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def refuse_overwriting(target: str | Path, source: str | Path) -> None:
    """Refuse to write a command's result over what it was made from.

    Raises:
        UserError: if both are the same file, whatever its names.
    """
    target, source = Path(target), Path(source)
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"'{target}' is the file that is read, and would be lost: give the result another name")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file's whole content by :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)
