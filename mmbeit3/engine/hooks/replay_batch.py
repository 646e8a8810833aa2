"""Save the batch of a failed step with what is needed to run it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmbeit3.engine.replay_file import to_plain, write_replay
from mmbeit3.errors import UserError

__all__ = ["save_batch"]

_LARGEST_BATCH = 256 << 20
_LARGEST_WEIGHTS = 1 << 30
"""Largest sizes in bytes that are saved."""


def save_batch(runner: Runner, step: int, batch: Any, random: dict[str, Any], names: list[str], keep: int) -> str:
    """Save a batch to ``replay/STEP.pt`` in the work directory; other ranks than the first add their number to the name.

    Args:
        runner: the runner.
        step: number of the step, from 1.
        batch: the batch, as the data loader returned it.
        random: random state before the step.
        names: names of the batch's records.
        keep: number of files to keep; the oldest others of this rank are deleted.

    Returns:
        The end of a sentence about the file, or about why there is none.
    """
    plain = to_plain(batch)
    size = sum(tensor.nbytes for tensor in _tensors(plain))
    if size > _LARGEST_BATCH:
        return f"; the batch of {size / 1e6:.0f} MB is too large to be saved"
    suffix = f"_rank{get_rank()}" if get_rank() else ""
    folder = Path(runner.work_dir) / "replay"
    path = folder / f"{step}{suffix}.pt"
    weights = {"checkpoint": runner.message_hub.get_info("last_ckpt", None), "state_dict": _weights(runner.model)}
    content = {"step": step, "records": names, "batch": plain, "random": random, "weights": weights, "seed": runner.seed}
    try:
        write_replay(path, content)
        files = [file for file in folder.glob(f"*{suffix}.pt") if file.stem.removesuffix(suffix).isdigit()]
        for old in sorted(files, key=lambda file: file.stat().st_mtime)[:-keep]:
            old.unlink(missing_ok=True)
    except UserError as error:
        # The loss is the news, not a full disk.
        return f"; the batch is not saved ({error})"
    return f"; the batch is in '{path}' (tools/train.py CONFIG --replay FILE shows where it fails)"


def _weights(model: nn.Module) -> dict[str, Tensor] | None:
    """Return the weights if they are finite, whole and not too large. After a step without ``skip`` they are usually NaN."""
    model = getattr(model, "module", model)
    state = model.state_dict()
    if any(isinstance(value, DTensor) or not isinstance(value, Tensor) for value in state.values()):
        return None
    if sum(value.nbytes for value in state.values()) > _LARGEST_WEIGHTS:
        return None
    if not all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point()):
        return None
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _tensors(plain: Any) -> Iterator[Tensor]:
    if isinstance(plain, Tensor):
        yield plain
    elif isinstance(plain, dict | list):
        for part in plain.values() if isinstance(plain, dict) else plain:
            yield from _tensors(part)
