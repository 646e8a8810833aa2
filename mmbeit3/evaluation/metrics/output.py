"""Files of predictions, as evaluation servers take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmbeit3.errors import UserError
from mmbeit3.files import check_writable, write_atomically

__all__ = ["prepare_output", "write_output"]


def prepare_output(path: str | None) -> Path | None:
    """Check at the start that a file can be written at the end; make its folder.

    Raises:
        UserError: if it cannot be written, or the path is a folder.
    """
    if path is None:
        return None
    if Path(path).is_dir():
        raise UserError(f"'{path}' is a folder: give the name of a file to write predictions to")
    check_writable(path)
    return Path(path)


def write_output(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write predictions as JSON and log where they are.

    Raises:
        UserError: if the file cannot be written.
    """
    write_atomically(path, json.dumps(list(predictions)).encode())
    print_log(f"{len(predictions)} predictions in '{path}'", "current")
