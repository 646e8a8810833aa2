"""Writing the files of the dataset."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["link", "write_json", "write_lines"]


def link(source: Path, target: Path) -> None:
    """One file under two names where the file system can, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a UTF-8 file of lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
