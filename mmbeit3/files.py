"""The cache folder, file hashes, and atomic writing of files."""

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
    """Return the cache folder: ``$MMBEIT3_HOME``, or ``mmbeit3`` in the user's cache folder."""
    home = os.environ.get("MMBEIT3_HOME")
    return Path(home).expanduser() if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmbeit3"


def hash_file(path: str | Path, name: str = "sha256") -> str:
    """Compute a file's hash with an algorithm of hashlib, as hexadecimal digits."""
    digest = hashlib.new(name)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for atomic writing: even after a crash, the path has either the old or the complete new content.

    Args:
        path: the file; a missing folder is created.

    Yields:
        A temporary file in the same folder. It is renamed to the path when it is complete, and removed after an error.

    Raises:
        UserError: if the file cannot be written, with the reason and what to do.
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
"""Number of characters of the file's name that the temporary name begins with."""

_REMEDIES = {
    errno.EEXIST: "a file has the name of its folder, give another path",
    errno.ENOTDIR: "a file has the name of its folder, give another path",
    errno.EACCES: "allow writing to the folder, or give another path",
    errno.EPERM: "allow writing to the folder, or give another path",
    errno.EROFS: "give a path on a writable disk",
    errno.ENOSPC: "free space on the disk, or give a path on another disk",
    errno.EDQUOT: "free space on the disk, or give a path on another disk",
    errno.EFBIG: "give a path on a disk that supports files of that size",
    errno.EISDIR: "give the path of a file, not of a folder",
    errno.ENAMETOOLONG: "give a shorter name",
}


@contextmanager
def naming_target(path: str | Path, whole_folder: bool = False) -> Iterator[None]:
    """Turn errors of writing a file or folder into a UserError that names it, the reason, and what to do.

    An OSError about another file, for example one that is read in the block, passes unchanged.

    Args:
        path: file or folder that the block writes.
        whole_folder: True if the block also writes other files below the path's folder.

    Raises:
        UserError: for an OSError about the path, about a file in its folder, or without a path, such as a full disk.
    """
    path = Path(path)
    try:
        yield
    except (OSError, RuntimeError) as error:
        # PyTorch's writer raises a RuntimeError when the disk is full; the OSError is its context.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        if isinstance(reason.filename, str | bytes) and not _about(Path(os.fsdecode(reason.filename)), path, whole_folder):
            raise
        remedy = _REMEDIES.get(reason.errno or 0, "give another path")
        raise UserError(f"'{path}' cannot be written: {reason.strerror or reason}: {remedy}") from error


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, before long work whose result it will hold. Creates the folder, not the file.

    Raises:
        UserError: if it cannot be written, with the reason and what to do.
    """
    path = Path(path)
    with naming_target(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as file:
            # Empty files can be created on a full disk.
            file.write(b"0" * 4096)


def _about(name: Path, target: Path, whole_folder: bool) -> bool:
    """Return True if an error's path is the target, a file beside it, or a folder above it."""
    if whole_folder and target.parent in name.parents:
        return True
    return name == target or name.parent == target.parent or name in target.parents


def refuse_overwriting(target: str | Path, source: str | Path) -> None:
    """Refuse to write a result over a file it was made from.

    Args:
        target: file to write.
        source: file to read, or a folder of such files.

    Raises:
        UserError: if the target is the source, or a file that exists in the source's folder.
    """
    # Path's methods raise for names that are too long; those of os.path return False.
    if not (os.path.exists(target) and os.path.exists(source)):  # noqa: PTH110
        return
    if os.path.samefile(target, source):  # noqa: PTH121
        raise UserError(f"'{target}' is the input file and would be overwritten: give another name for the output")
    if Path(source).resolve() in Path(target).resolve().parents:
        raise UserError(f"'{target}' is in the input folder and would be overwritten: give another name for the output")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file's content atomically, see :func:`atomic_file`.

    Raises:
        UserError: if the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content)
