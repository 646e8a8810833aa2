"""Safe loading of checkpoints in MMEngine: no code from a checkpoint runs, whichever OpenMMLab package opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbeit3.checkpoint.reading import read_training
from mmbeit3.errors import UserError

__all__ = ["guard_loading"]


def guard_loading() -> None:
    """Replace the readers in MMEngine that may unpickle without restrictions, which runs code in the file.

    All OpenMMLab packages load by MMEngine's ``CheckpointLoader``. Its loaders for model zoos look up an address and call
    ``load_from_http``. For remote storage they call ``_safe_torch_load`` if the version of MMEngine has it, else
    ``torch.load``, which is safe by default in every PyTorch version that mmbeit3 supports.
    """
    from mmengine.runner import checkpoint as mmengine_checkpoint

    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes=("", "http://", "https://"), loader=load_from_safe_reader, force=True
    )
    mmengine_checkpoint.load_from_http = load_from_safe_reader
    if hasattr(mmengine_checkpoint, "_safe_torch_load"):
        mmengine_checkpoint._safe_torch_load = load_from_safe_reader


def load_from_safe_reader(filename: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:
    """Read a checkpoint, with the signature of MMEngine's loaders.

    Args:
        filename: path or address.
        map_location: ignored. Tensors are read onto the CPU and then copied into the model.

    Raises:
        UserError: if the file cannot be read safely.
    """
    if not isinstance(filename, str | Path):
        raise UserError("checkpoints on remote storage cannot be read safely. Copy the file to a local disk and give its path")
    return read_training(filename)
