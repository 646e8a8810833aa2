"""MMEngine's loading of checkpoints, made safe: whatever of OpenMMLab opens one, nothing in it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbeit3.checkpoint.reading import read_training
from mmbeit3.errors import UserError

__all__ = ["guard_loading"]


def guard_loading() -> None:
    """Put our reader in the place of those in MMEngine that may unpickle in full, which runs what a file holds.

    All of OpenMMLab's packages load by MMEngine's ``CheckpointLoader``. Its loaders for model zoos look up an address and call
    ``load_from_http``; for what lies elsewhere they call ``_safe_torch_load``, where MMEngine has that, or else
    ``torch.load``, which is safe by default in every PyTorch that this package allows.
    """
    from mmengine.runner import checkpoint as theirs

    theirs.CheckpointLoader.register_scheme(prefixes=("", "http://", "https://"), loader=load_from_safe_reader, force=True)
    theirs.load_from_http = load_from_safe_reader
    if hasattr(theirs, "_safe_torch_load"):
        theirs._safe_torch_load = load_from_safe_reader


def load_from_safe_reader(filename: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:
    """Read a checkpoint as MMEngine's loaders do.

    Args:
        filename: path or address.
        map_location: not used; tensors come on the CPU, from where they are copied into the model.

    Raises:
        UserError: if it cannot be read safely.
    """
    if not isinstance(filename, str | Path):
        raise UserError("checkpoints on remote storage are not read safely here: copy the file, and give its path")
    return read_training(filename)
