"""The checkpoint file of a model."""

from __future__ import annotations

from pathlib import Path

from mmbeit3 import zoo
from mmbeit3.errors import UserError

__all__ = ["find_weights"]


def find_weights(model: zoo.Model) -> Path:
    """Return the checkpoint file of a model; download it first if the index names a URL.

    Raises:
        UserError: if the model has no weights, the file does not exist, or the download fails.
    """
    if model.sources:
        return zoo.download_model(model)
    if model.local_weights is None:
        raise UserError(f"{model.name} has no weights in the index")
    if not Path(model.local_weights).is_file():
        raise UserError(f"weights '{model.local_weights}' of {model.name} do not exist")
    return Path(model.local_weights)
