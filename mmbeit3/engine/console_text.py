"""Texts that a quiet command prints: the start-up lines, scores and memory."""

from __future__ import annotations

import logging
import math
import sys
import textwrap
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

import mmbeit3
from mmbeit3.errors import list_first
from mmbeit3.profiling.memory import peak_resident
from mmbeit3.versions import find_installed

__all__ = ["describe_peak_memory", "format_scores", "log_file", "short_path", "startup_lines"]

_WIDTH = 110
_MOST_CLASSES = 6


def log_file(runner: Runner) -> str | None:
    """Return the path of a runner's log file, or None."""
    files = [handler for handler in runner.logger.handlers if isinstance(handler, logging.FileHandler)]
    return short_path(files[0].baseFilename) if files else None


def startup_lines(runner: Runner, splits: tuple[str, ...]) -> list[str]:
    """Describe versions, data, model, length and output of a run in at most 15 lines.

    Args:
        runner: with its model and data built.
        splits: those of ``train``, ``val`` and ``test`` that will run.
    """
    lines = [_versions(), f"device       {_device(runner)}"]
    what = "images" if runner.cfg.get("default_scope") in ("mmdet", "mmseg") else "samples"
    classes: tuple[str, ...] = ()
    for split in splits:
        loader = getattr(runner, f"{split}_dataloader", None)
        if isinstance(loader, DataLoader):
            lines.append(f"{split + ' data':12} {_count(loader, what)}{_folder(loader.dataset)}")
            classes = classes or tuple((getattr(loader.dataset, "metainfo", None) or {}).get("classes") or ())
    if classes:
        lines.append(f"classes      {len(classes)}: {list_first(classes, _MOST_CLASSES)}")
    lines.append(f"model        {_model(runner.model)}")
    if "train" in splits:
        lines.append(f"training     {_length(runner, what)}")
        lines.append(f"checkpoints  {short_path(runner.work_dir)}")
    if (path := log_file(runner)) is not None:
        lines.append(f"log file     {path}")
    return [textwrap.shorten(line, 2 * _WIDTH) if len(line) > 2 * _WIDTH else line for line in lines]


def _versions() -> str:
    packages = [("torch", str(torch.__version__))]
    for name in ("mmdet", "mmseg", "mmpretrain", "mmengine"):
        if name in sys.modules and (found := find_installed(name)) is not None:
            packages.append((name, found.version))
    return ", ".join(f"{name} {version}" for name, version in [("mmbeit3", mmbeit3.__version__), *packages])


def _device(runner: Runner) -> str:
    device = get_device()
    if device == "cuda":
        one = torch.cuda.get_device_name()
    else:
        one = f"CPU, {torch.get_num_threads()} threads" if device == "cpu" else device
    return one if runner.world_size == 1 else f"{runner.world_size} processes, each with {one}"


def _count(loader: DataLoader, what: str) -> str:
    try:
        return f"{len(loader.dataset)} {what}"  # type: ignore[arg-type]
    except TypeError:
        return "a stream"


def _folder(dataset: Any) -> str:
    root = getattr(dataset, "data_root", None)
    return f" in {root}" if isinstance(root, str) and root else ""


def _model(model: nn.Module) -> str:
    model = getattr(model, "module", model)
    backbone = getattr(model, "backbone", None)
    name = type(model).__name__ + (f" with {type(backbone).__name__}" if backbone is not None else "")
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return (
        f"{name}, {total / 1e6:.1f} million parameters, {'all' if trained == total else f'{trained / 1e6:.1f} million'} trained"
    )


def _length(runner: Runner, what: str) -> str:
    loader = runner.train_dataloader
    batch = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    length = _plural(runner.max_iters, "iteration")
    if runner.max_epochs > 1 or "Epoch" in type(runner.train_loop).__name__:
        length = f"{_plural(runner.max_epochs, 'epoch')}, {length}"
    if batch:
        length += f" of {batch * runner.world_size} {what}"
    counts = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    if counts > 1:
        length += f", an update every {counts} iterations"
    if runner.iter:
        length += f"; resumed after iteration {runner.iter}"
    return length


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_scores(metrics: Mapping[str, Any]) -> list[str]:
    """Format scores of an evaluation, one line or more per prefix. COCO's -1, for sizes without objects, is left out."""
    groups: dict[str, list[str]] = {}
    # mmseg's scores are NumPy's float32, which is no Python float.
    for key, value in metrics.items():
        prefix, _, name = key.rpartition("/")
        if key in ("time", "data_time") or not isinstance(value, Real) or (prefix.startswith("coco") and value == -1):
            continue
        number = f"{float(value):.4g}" if math.isfinite(value) else str(value)
        groups.setdefault(prefix, []).append(f"{name} {number}".replace(" ", "\N{NO-BREAK SPACE}"))
    lines = []
    for prefix, scores in groups.items():
        text = (f"{prefix}: " if prefix else "") + ", ".join(scores)
        wrapped = textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
        lines += [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped]
    return lines


def describe_peak_memory() -> str:
    """Return the peak memory of this process so far: allocated by PyTorch on a GPU, else the resident size."""
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of GPU memory"
    return f"{peak_resident() / 2**30:.2f} GiB of memory"


def short_path(path: str | Path) -> str:
    """Return a path relative to the current folder if it is below it."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
