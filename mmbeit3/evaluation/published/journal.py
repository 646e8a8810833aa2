"""A file of JSON lines that stays usable if the process is killed at any moment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mmbeit3.errors import UserError
from mmbeit3.files import naming_target

if sys.platform != "win32":
    import fcntl

__all__ = ["Journal"]


class Journal:
    """Lines that are on the disk when :meth:`append` returns; a context manager that one process at a time may enter.

    An incomplete last line, as a kill can leave it, is dropped when the journal is opened.

    Args:
        path: the file; it and its folder are created if they are missing.

    Raises:
        UserError: on entering, if the file cannot be written, another process writes it, or a line is not a JSON object.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lines: list[dict[str, Any]] = []
        """Complete lines of the file."""

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be written ({error.strerror}): use another --out") from error
        try:
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = self.path.read_bytes()
            whole = content.rfind(b"\n") + 1
            self.lines = [self._parse(line, number) for number, line in enumerate(content[:whole].splitlines(), start=1)]
            os.ftruncate(self._file, whole)
        except BlockingIOError as error:
            os.close(self._file)
            raise UserError(f"another process is writing '{self.path}': wait for it, or use another --out") from error
        except UserError:
            os.close(self._file)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        os.close(self._file)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk."""
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with naming_target(self.path):
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        self.lines.append(dict(line))

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise UserError(f"'{self.path}', line {number}, is not a JSON object: remove the line, or use another --out")
        return content
