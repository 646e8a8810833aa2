"""Submission files for evaluation servers: predictions as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmbeit3.errors import UserError
from mmbeit3.files import check_writable, write_atomically

__all__ = ["prepare_submission", "write_submission"]


def prepare_submission(path: str | None) -> Path | None:
    """Check before an evaluation that its file can be written, and create its folder; None gives None.

    Raises:
        UserError: if the file cannot be written, or the path is a folder.
    """
    if path is None:
        return None
    if Path(path).is_dir():
        raise UserError(f"'{path}' is a folder: give the name of a file for the predictions")
    check_writable(path)
    return Path(path)


def write_submission(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write predictions as JSON and log the path.

    Raises:
        UserError: if the file cannot be written.
    """
    write_atomically(path, json.dumps(list(predictions)).encode())
    print_log(f"wrote {len(predictions)} predictions to '{path}'", "current")
