"""The folder of this package's own files, files' hashes, and writing files that are never there by half."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mmbeit3.errors import UserError

__all__ = [
    "atomic_file",
    "cache_home",
    "check_writable",
    "hash_file",
    "naming_target",
    "refuse_overwriting",
    "write_atomically",
]


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

    Raises:
        UserError: if it cannot be written, with the reason and what to do.
    """
    path = Path(path)
    with naming_target(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_LONGEST]}-", suffix=".tmp")
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


_LONGEST = 200
"""Letters of a file's name that its temporary one has, too."""

_REMEDIES = {
    errno.EEXIST: "a file stands where its folder should be, give another path",
    errno.ENOTDIR: "a file stands where its folder should be, give another path",
    errno.EACCES: "allow writing there, or give another path",
    errno.EPERM: "allow writing there, or give another path",
    errno.EROFS: "give a path on a disk that can be written to",
    errno.ENOSPC: "make room there, or give a path on another disk",
    errno.EDQUOT: "make room there, or give a path on another disk",
    errno.EFBIG: "give a path on a disk that takes files of that size",
    errno.EISDIR: "give the path of a file, not of a folder",
    errno.ENAMETOOLONG: "give a shorter name",
}


@contextmanager
def naming_target(path: str | Path, whole_folder: bool = False) -> Iterator[None]:
    """Have errors of writing say which file or folder it is, why it cannot be written, and what to do.

    An OSError inside that is of reading another file is left as it is.

    Args:
        path: what is written.
        whole_folder: whether whatever lies below the folder that the path is in is part of it, too.

    Raises:
        UserError: for an OSError of the path, of what lies in its folder, or of no path at all, such as a full disk.
    """
    path = Path(path)
    try:
        yield
    except (OSError, RuntimeError) as error:
        # PyTorch's writer says something of its own when a disk is full.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        if isinstance(reason.filename, str | bytes) and not _about(Path(os.fsdecode(reason.filename)), path, whole_folder):
            raise
        remedy = _REMEDIES.get(reason.errno or 0, "give another path")
        raise UserError(f"'{path}' cannot be written: {reason.strerror or reason}: {remedy}") from error


def check_writable(path: str | Path) -> None:
    """Try whether a file can be written, before the work whose result it will take; its folder is made, the file is not.

    Raises:
        UserError: if it cannot, with the reason and what to do.
    """
    path = Path(path)
    with naming_target(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as file:
            # A full disk makes empty files.
            file.write(b"0" * 4096)


def _about(name: Path, target: Path, whole_folder: bool) -> bool:
    """Whether an error is about a target, something beside it, or a folder above it."""
    if whole_folder and target.parent in name.parents:
        return True
    return name == target or name.parent == target.parent or name in target.parents


def refuse_overwriting(target: str | Path, source: str | Path) -> None:
    """Refuse to write a command's result over what it was made from.

    Raises:
        UserError: if both are the same file, whatever its names.
    """
    # Path's own methods raise for names that are too long.
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(target, source):  # noqa: PTH110, PTH121
        raise UserError(f"'{target}' is the file that is read, and would be lost: give the result another name")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file's whole content by :func:`atomic_file`.

    Raises:
        UserError: if it cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content)
