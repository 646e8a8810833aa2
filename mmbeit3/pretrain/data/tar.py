"""Members of a tar archive in sequence, with a word about everything in it that is damaged, and what follows the damage."""

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
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_WITHOUT_CONTENT = (*_LINKS, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
_LONGEST_NAME = 1 << 20
"""Bytes of an extended header; a longer one is damaged."""

_PACKED: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
)
"""How packed archives begin, and what unpacks them."""


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Attributes:
        name: its path in the archive.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Fault:
    """Something damaged.

    Attributes:
        reason: what, and how many bytes are lost by it, in one line.
    """

    reason: str


class _CutError(Exception):
    """The stream ends where more should come."""


class _PackedError(Exception):
    """What packs the archive is damaged; nothing after it can be unpacked."""


def read_members(file: BinaryIO) -> Iterator[Member | Fault]:
    """Read an archive, plain or packed by gzip, bzip2 or xz; of the formats ustar, GNU and pax.

    A header whose checksum is wrong, or that is missing, costs its own member only: reading goes on at the next block that is
    a header. What packs an archive has no such places, so that all that comes after damage in it is lost.

    Args:
        file: the archive, at its start.

    Yields:
        Regular files, and one fault for everything that is wrong: damaged headers, an archive that ends without its end mark of
        two blocks of zeros, and anything but zeros behind that mark, such as another archive, which is read as well.
    """
    try:
        yield from _Reader(file).read()
    except _PackedError as error:
        yield Fault(f"{error}; all that follows is lost")


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._parts = _unpacked(file)
        self._held, self._at = b"", 0
        self.place = 0
        """Bytes read so far, of the unpacked archive."""

    def read(self) -> Iterator[Member | Fault]:
        names: dict[str, str] = {}
        """Of the next member, where its header has no room for it."""
        zeros = 0
        while block := self._take(_BLOCK):
            if len(block) < _BLOCK:
                if zeros < 2 or block.strip(b"\0"):
                    yield Fault(f"the archive is cut in its block at byte {self.place - len(block)}")
                return
            if not block.strip(b"\0"):
                zeros += 1
                continue
            header = _header(block)
            if zeros or header is None:
                start = self.place - _BLOCK
                if header is None:
                    header = self._search()
                yield Fault(_words(zeros, start, self.place - (_BLOCK if header else 0), header is not None))
                zeros, names = 0, {}
                if header is None:
                    return
            try:
                member = self._member(header, names)
            except _CutError as error:
                yield Fault(f"the archive is cut in member '{header.name}': {error}")
                return
            if member is not None:
                yield member
        if zeros < 2:
            yield Fault(f"the archive ends at byte {self.place} without its end mark: what came after is lost")

    def _member(self, header: tarfile.TarInfo, names: dict[str, str]) -> Member | Fault | None:
        """What a header announces, if it is a file; names of the next one are noted."""
        if header.type in _EXTENDED or header.type in _LONG_NAMES:
            if header.size > _LONGEST_NAME:
                return Fault(f"an extended header of {header.size} bytes before byte {self.place}")
            content = self._content(header.size)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                names["path"] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif header.type in _EXTENDED:
                found = _keywords(content)
                if found is None:
                    return Fault(f"the extended header before byte {self.place} is damaged: the next name may be wrong")
                names |= found if header.type != tarfile.XGLTYPE else {}
            return None
        name, size = names.pop("path", header.name), names.pop("size", None)
        sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in names)
        names.clear()
        if header.type in _WITHOUT_CONTENT:
            return None
        data = self._content(int(size) if size is not None and size.isdigit() else header.size)
        if sparse:
            return Fault(f"member '{name}' is a sparse file, which is not read: pack it as a whole one")
        return Member(name, data) if header.isreg() else None

    def _content(self, size: int) -> bytes:
        padded = -(-size // _BLOCK) * _BLOCK
        data = self._take(padded)
        # The last block's padding is nobody's data.
        if len(data) < size:
            raise _CutError(f"{len(data)} of {size} bytes are there")
        return data[:size]

    def _search(self) -> tarfile.TarInfo | None:
        """Go on to the next header, if there is one."""
        while len(block := self._take(_BLOCK)) == _BLOCK:
            header = _header(block)
            if header is not None:
                return header
        return None

    def _take(self, size: int) -> bytes:
        """The next bytes; fewer than asked for at the end."""
        if len(self._held) - self._at < size:
            parts = [self._held[self._at :]]
            count = len(parts[0])
            while count < size and (part := next(self._parts, b"")):
                parts.append(part)
                count += len(part)
            self._held, self._at = b"".join(parts), 0
        data = self._held[self._at : self._at + size]
        self._at += len(data)
        self.place += len(data)
        return data


def _header(block: bytes) -> tarfile.TarInfo | None:
    """What a block says if it is a header, which its checksum tells."""
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return header if header.size >= 0 else None


def _keywords(content: bytes) -> dict[str, str] | None:
    """Keywords of a pax header, lines of their own length, a name and a value; None if it is none."""
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


def _words(zeros: int, start: int, end: int, found: bool) -> str:
    """One line about what is no header where one should be."""
    lost = f"{end - start} bytes from byte {start} on are lost" if end > start else f"it is read on from byte {start}"
    if zeros > 1:
        what = "another archive follows the end mark" if found and end == start else "something but zeros follows the end mark"
    else:
        what = "a block of zeros stands between members" if zeros else "a header is damaged (its checksum is wrong)"
    return f"{what}: {lost}{'' if found else ', no header follows'}"


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """The archive's bytes in parts, none of them empty.

    Raises:
        _PackedError: where they cannot be unpacked.
    """
    first = file.read(_CHUNK)
    new = next((new for mark, new in _PACKED if first.startswith(mark)), None)
    rest = chain([first], iter(lambda: file.read(_CHUNK), b""))
    if new is None:
        yield from rest
        return
    unpacker, begun = new(), False
    for given in rest:
        data = given
        while data:
            try:
                part, begun = unpacker.decompress(data), True
            except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
                raise _PackedError(f"the compressed stream is damaged ({error})") from error
            if part:
                yield part
            # Files that were appended to each other, as parallel packers do it; zeros may fill up between and behind.
            data = unpacker.unused_data.lstrip(b"\0") if unpacker.eof else b""
            if unpacker.eof:
                unpacker, begun = new(), False
    if begun:
        raise _PackedError("the compressed stream is cut")
