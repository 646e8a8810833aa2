"""Copies of a data set to read from: a folder, a zip archive or a tar archive.

Members of an archive are never extracted to the paths that the archive gives. A zip archive is read in place; files of a tar
archive go to a temporary folder under numbers as names.
"""

from __future__ import annotations

import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mmbeit3.errors import UserError, one_line
from mmbeit3.images.folders import walk_files

__all__ = ["LARGEST_FILE", "LARGEST_TOTAL", "MOST_MEMBERS", "Source", "is_safe_name", "open_source"]

LARGEST_FILE = 64 << 20
"""Largest size in bytes of a file in an archive that is read. The largest image of the known data sets has about 2 MB."""

LARGEST_TOTAL = 8 << 30
"""Largest size in bytes of all files in an archive that are read."""

MOST_MEMBERS = 500_000
"""Largest number of members of an archive."""

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a compression that zipfile does not support
    ValueError,
)


class Source:
    """Files by name.

    Args:
        label: path for error messages.
        names: paths relative to the top, with ``/`` as the separator.
        read: reads a file.
        paths: name to a file on disk that may be linked; empty for archives.
    """

    def __init__(
        self, label: str, names: tuple[str, ...], read: Callable[[str], bytes], paths: Mapping[str, Path] | None = None
    ) -> None:
        self.label = label
        self.names = names
        self._read = read
        self._paths = paths or {}

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            UserError: if it is missing or damaged.
        """
        try:
            return self._read(name)
        except KeyError as error:
            raise UserError(f"'{self.label}' has no '{name}': the copy is incomplete, give another one") from error
        except _DAMAGED as error:
            raise UserError(
                f"'{name}' in '{self.label}' cannot be read ({one_line(error)}): the copy is damaged, give another one"
            ) from error

    def path(self, name: str) -> Path | None:
        """Return the file on disk, or None if it is in an archive or a symbolic link."""
        path = self._paths.get(name)
        return None if path is None or path.is_symlink() else path


def is_safe_name(name: str) -> bool:
    """Return True if a name is a relative path that stays in its folder."""
    parts = name.split("/")
    return (
        bool(name)
        and not re.search(r"[\\\x00-\x1f]", name)
        and not name.startswith("/")
        and ".." not in parts
        and ":" not in parts[0]
    )


@contextmanager
def open_source(path: str | Path, wanted: Callable[[str], object]) -> Iterator[Source]:
    """Open a folder or an archive.

    Args:
        path: a folder, or a zip or tar archive (uncompressed, gzip, bzip2 or xz).
        wanted: returns a true value for the names of needed files; other files are left out.

    Raises:
        UserError: if the path does not exist, is no archive, is damaged, has more or larger files than the limits of this
            module, or has a member whose path leaves the archive's folder.
    """
    path = Path(path)
    if path.is_dir():
        files = {name: path / name for name in sorted(walk_files(path)) if wanted(name)}
        yield Source(str(path), tuple(files), lambda name: files[name].read_bytes(), files)
    elif not path.is_file():
        raise UserError(f"'{path}' does not exist: give a folder or an archive of the data set")
    elif zipfile.is_zipfile(path):
        with _named(path), zipfile.ZipFile(path) as archive:
            members = _zip_members(archive, wanted, path)
            source = Source(str(path), tuple(sorted(members)), lambda name: archive.read(members[name]))
            yield source
    elif _is_tar(path):
        with tempfile.TemporaryDirectory(prefix="mmbeit3-") as folder:
            with _named(path):
                files = _extract_tar(path, wanted, Path(folder))
            yield Source(str(path), tuple(sorted(files)), lambda name: files[name].read_bytes())
    else:
        raise UserError(f"'{path}' is neither a folder nor a complete .zip or .tar.gz archive: give the data set's")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the archive in errors of its readers."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(f"archive '{path}' is damaged ({one_line(error)}): give another copy, or download it again") from error


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (zlib.error, EOFError, OSError):
        return False


class _Limits:
    """Counts of an archive's members against the limits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members = self._total = 0

    def check_name(self, name: str) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise UserError(f"archive '{self._path}' has more than {MOST_MEMBERS} members: it is not the data set's")
        if not is_safe_name(name):
            raise UserError(
                f"archive '{self._path}' has the member '{one_line(name, 80)}', whose path leaves the archive's "
                "folder: do not use it"
            )

    def check_size(self, name: str, size: int) -> None:
        self._total += size
        if size > LARGEST_FILE or self._total > LARGEST_TOTAL:
            raise UserError(
                f"archive '{self._path}' is larger than the data set: '{name}' has {size} bytes, and {self._total} bytes are "
                f"needed so far (at most {LARGEST_FILE} per file and {LARGEST_TOTAL} in all)"
            )


def _zip_members(archive: zipfile.ZipFile, wanted: Callable[[str], object], path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the needed regular files. ``zipfile`` reads no more bytes of a member than its header gives."""
    limits, members = _Limits(path), dict[str, zipfile.ZipInfo]()
    for member in archive.infolist():
        # The name before zipfile cuts it at a zero byte and replaces separators.
        limits.check_name(member.orig_filename.removesuffix("/"))
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not member.is_dir() and kind in (0, stat.S_IFREG) and _is_shown(member.filename) and wanted(member.filename):
            limits.check_size(member.filename, member.file_size)
            members[member.filename] = member
    return members


def _extract_tar(path: Path, wanted: Callable[[str], object], folder: Path) -> dict[str, Path]:
    """Write the needed regular files into a folder, under numbers as names."""
    limits, files = _Limits(path), dict[str, Path]()
    with tarfile.open(path) as archive:
        for member in archive:
            limits.check_name(member.name)
            if member.isreg() and _is_shown(member.name) and wanted(member.name):
                limits.check_size(member.name, member.size)
                content = archive.extractfile(member)
                assert content is not None
                files[member.name] = folder / str(len(files))
                files[member.name].write_bytes(content.read())
        # tarfile takes a damaged header for the end of the archive. The end mark is two blocks of zeros.
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no valid header and no end mark at byte {archive.offset}")
    return files


def _is_shown(name: str) -> bool:
    """Return True if no part of a path is hidden, as in folders. macOS adds hidden files such as ``._photo.jpg``."""
    return not any(part.startswith(".") for part in PurePosixPath(name).parts)
