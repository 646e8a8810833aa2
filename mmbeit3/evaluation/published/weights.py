"""Find the checkpoint file of a model, and download it if needed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from mmbeit3 import zoo
from mmbeit3.downloads import download
from mmbeit3.errors import UserError
from mmbeit3.evaluation.published.entries import Entry

__all__ = ["find_weights"]


def find_weights(entry: Entry) -> Path:
    """Return the checkpoint file of a model; weights with a URL are downloaded.

    Raises:
        UserError: if the entry has no weights, the file does not exist, or the download failed.
    """
    if entry.weights is None:
        raise UserError(f"{entry.name} has no weights in the index")
    if urlparse(entry.weights).scheme in ("http", "https"):
        known = zoo.read_index().get(entry.name)
        if known is not None and entry.weights in known.sources:
            return zoo.fetch(entry.name)
        return download((entry.weights,))
    path = Path(entry.weights)
    if not path.is_file():
        raise UserError(f"weights '{path}' of {entry.name} do not exist")
    return path
