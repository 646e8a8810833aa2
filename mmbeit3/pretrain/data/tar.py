"""A sequential tar reader that reports damage and continues behind it.

``tarfile`` takes a damaged header for the end of the archive, so the rest of a shard would be lost silently. This reader
searches for the next valid header instead. A tar archive is a sequence of blocks of 512 bytes: a header block with a checksum,
then the member's content padded to whole blocks, and so on; two blocks of zeros mark the end.
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

__all__ = ["Fault", "Member", "read_members"]

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 16
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
)
_MAX_EXTENDED = 1 << 20
"""Largest size of an extended header in bytes; a larger one counts as damaged."""

_COMPRESSIONS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
)
"""First bytes of compressed archives (gzip, bzip2, xz) and their decompressors. 31 makes zlib expect a gzip header."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: path in the archive.
        data: content.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Fault:
    """Damage in an archive.

    Attributes:
        reason: what is damaged and how many bytes are lost, in one line.
    """

    reason: str


class _TruncatedError(Exception):
    """The archive ends in the middle of a member."""


class _CompressionError(Exception):
    """The compressed stream is damaged; nothing behind the damage can be decompressed."""


def read_members(file: BinaryIO) -> Iterator[Member | Fault]:
    """Read an archive in ustar, GNU or pax format, uncompressed or compressed by gzip, bzip2 or xz.

    A header that is missing or has a wrong checksum costs its own member only: reading continues at the next block that is a
    header. A compressed stream has no such points to continue from, so everything behind damage in it is lost.

    Args:
        file: the archive, positioned at its start.

    Yields:
        Regular files, and one fault for each damage: a damaged header, an archive without the end mark of two blocks of zeros,
        and anything but zeros behind the end mark. Another archive behind the end mark is read as well.
    """
    try:
        yield from _Reader(file).read()
    except _CompressionError as error:
        yield Fault(f"{error}: everything behind it is lost")


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._parts = _decompressed(file)
        self._buffer, self._offset = b"", 0
        self.position = 0
        """Number of bytes of the decompressed archive read so far."""

    def read(self) -> Iterator[Member | Fault]:
        # Path and size of the next member from an extended header, for values that do not fit into a plain header.
        extended: dict[str, str] = {}
        zeros = 0
        while block := self._take(_BLOCK):
            if len(block) < _BLOCK:
                if zeros < 2 or block.strip(b"\0"):
                    yield Fault(f"the archive is truncated in the block at byte {self.position - len(block)}")
                return
            if not block.strip(b"\0"):
                zeros += 1
                continue
            header = _parse_header(block)
            # Here the block is not zeros. Zeros before it were the end mark, or a header that was overwritten.
            if zeros or header is None:
                start = self.position - _BLOCK
                if header is None:
                    header = self._next_header()
                yield Fault(_describe(zeros, start, self.position - (_BLOCK if header else 0), header is not None))
                zeros, extended = 0, {}
                if header is None:
                    return
            try:
                member = self._member(header, extended)
            except _TruncatedError as error:
                yield Fault(f"the archive is truncated in member '{header.name}': {error}")
                return
            if member is not None:
                yield member
        if zeros < 2:
            yield Fault(f"the archive ends at byte {self.position} without its end mark: any members behind it are lost")

    def _member(self, header: tarfile.TarInfo, extended: dict[str, str]) -> Member | Fault | None:
        """Read the content of a header. Return a regular file; store the values of an extended header for the next member."""
        if header.type in _EXTENDED or header.type in _LONG_NAMES:
            if header.size > _MAX_EXTENDED:
                return Fault(f"the extended header before byte {self.position} is damaged: it would have {header.size} bytes")
            content = self._content(header.size)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif header.type in _EXTENDED:
                found = _parse_pax(content)
                if found is None:
                    return Fault(f"the extended header before byte {self.position} is damaged: the next name may be wrong")
                extended |= found if header.type != tarfile.XGLTYPE else {}
            return None
        name, size = extended.pop("path", header.name), extended.pop("size", None)
        sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended)
        extended.clear()
        if header.type in _WITHOUT_CONTENT:
            return None
        data = self._content(int(size) if size is not None and size.isdigit() else header.size)
        if sparse:
            return Fault(f"member '{name}' is a sparse file, which cannot be read: store it as a plain file")
        return Member(name, data) if header.isreg() else None

    def _content(self, size: int) -> bytes:
        padded = -(-size // _BLOCK) * _BLOCK
        data = self._take(padded)
        # An archive that ends within the padding of the last block has lost nothing.
        if len(data) < size:
            raise _TruncatedError(f"it contains {len(data)} of {size} bytes")
        return data[:size]

    def _next_header(self) -> tarfile.TarInfo | None:
        """Skip blocks up to the next valid header and return it; None at the end of the archive."""
        while len(block := self._take(_BLOCK)) == _BLOCK:
            header = _parse_header(block)
            if header is not None:
                return header
        return None

    def _take(self, size: int) -> bytes:
        """Return the next ``size`` bytes; fewer at the end of the archive."""
        if len(self._buffer) - self._offset < size:
            parts = [self._buffer[self._offset :]]
            count = len(parts[0])
            while count < size and (part := next(self._parts, b"")):
                parts.append(part)
                count += len(part)
            self._buffer, self._offset = b"".join(parts), 0
        data = self._buffer[self._offset : self._offset + size]
        self._offset += len(data)
        self.position += len(data)
        return data


def _parse_header(block: bytes) -> tarfile.TarInfo | None:
    """Parse a block as a header; None if its checksum is wrong or its size is negative."""
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return header if header.size >= 0 else None


def _parse_pax(content: bytes) -> dict[str, str] | None:
    """Parse the lines ``LENGTH KEY=VALUE`` of a pax header, LENGTH being that of the whole line; None if a line is damaged."""
    found = {}
    while content.strip(b"\0"):
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        line, content = content[:length], content[length:]
        key, equals, value = line[len(digits) + 1 : -1].partition(b"=")
        if not equals or len(line) < length or line[-1:] != b"\n":
            return None
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    return found


def _describe(zeros: int, start: int, end: int, found: bool) -> str:
    """Describe in one line what was found instead of a header.

    Args:
        zeros: number of blocks of zeros before it; two or more are the end mark.
        start: byte at which a header was expected.
        end: byte at which the next header begins, or the archive ends.
        found: True if a next header was found.
    """
    lost = f"{end - start} bytes from byte {start} on are lost" if end > start else f"reading continues at byte {start}"
    if zeros > 1:
        what = "another archive follows the end mark" if found and end == start else "other data than zeros follow the end mark"
    else:
        what = "a block of zeros is between members" if zeros else "a header is damaged (its checksum is wrong)"
    return f"{what}: {lost}{'' if found else ', no header follows'}"


def _decompressed(file: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed archive in non-empty parts.

    Raises:
        _CompressionError: if the compressed stream is damaged or truncated.
    """
    first = file.read(_CHUNK)
    new = next((new for mark, new in _COMPRESSIONS if first.startswith(mark)), None)
    rest = chain([first], iter(lambda: file.read(_CHUNK), b""))
    if new is None:
        yield from rest
        return
    decompressor, begun = new(), False
    for chunk in rest:
        data = chunk
        while data:
            try:
                part, begun = decompressor.decompress(data), True
            except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
                raise _CompressionError(f"the compressed stream is damaged ({error})") from error
            if part:
                yield part
            # Several compressed streams in a row, as pigz and pbzip2 write them; zeros may pad between and behind them.
            data = decompressor.unused_data.lstrip(b"\0") if decompressor.eof else b""
            if decompressor.eof:
                decompressor, begun = new(), False
    if begun:
        raise _CompressionError("the compressed stream is truncated")
