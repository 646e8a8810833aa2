"""A training checkpoint as a file for others: weights alone, with a checksum in its name and a card beside it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

import mmbeit3
from mmbeit3.checkpoint.layouts import detect_layout
from mmbeit3.checkpoint.reading import read_lazily, read_notes
from mmbeit3.checkpoint.writing import write_safetensors
from mmbeit3.errors import UserError, one_line
from mmbeit3.files import hash_file, write_atomically
from mmbeit3.versions import find_installed

__all__ = ["last_scores", "publish"]

_PACKAGES = ("timm", "mmengine", "mmdet", "mmseg")


def publish(
    source: str | Path,
    folder: str | Path,
    name: str,
    scores: Mapping[str, float | str],
    config: str | Path | None = None,
    allow_nonfinite: bool = False,
) -> Path:
    """Write the weights of a checkpoint as ``NAME-<first 8 digits of its SHA-256>.safetensors``, and ``README.md``.

    Args:
        source: a checkpoint of training; its optimizer, schedules and logs are left out.
        folder: made if need be.
        name: of the model.
        scores: metric names to values, for the card.
        config: the config file that it was trained with; its text goes into the card.
        allow_nonfinite: publish NaN and infinity, too.

    Returns:
        The file's path.

    Raises:
        UserError: if the checkpoint cannot be read, the config is missing, or the folder has a card of another file's.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"'{name}' is no name for a file: give one without slashes by --name")
    if config is not None and not Path(config).is_file():
        raise UserError(f"config '{config}' does not exist")
    folder = Path(folder)
    if (folder / "README.md").exists():
        raise UserError(f"folder '{folder}' already has a README.md: give one folder for each model")
    tensors = read_lazily(source)
    layout = detect_layout(tensors)
    metadata = {"layout": layout.name if layout else "unknown", "mmbeit3_version": mmbeit3.__version__}
    unnamed = folder / f"{name}.safetensors"
    write_safetensors(tensors, unnamed, metadata, allow_nonfinite)
    digest = hash_file(unnamed)
    path = unnamed.replace(folder / f"{name}-{digest[:8]}.safetensors")
    parameters = sum(tensor.shape.numel() for tensor in tensors.values() if tensor.dtype.is_floating_point)
    facts = {
        "file": path.name,
        "SHA-256": digest,
        "bytes": path.stat().st_size,
        "numbers": f"{parameters:,}",
        "precision": ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})),
        "layout": metadata["layout"],
        **_training(source),
        **_versions(),
    }
    write_atomically(folder / "README.md", _card(name, path.name, facts, scores, config).encode())
    return path


def last_scores(work_dir: str | Path) -> dict[str, float]:
    """The last evaluation's scores in a work dir: what MMEngine wrote last into the newest ``scalars.json`` or test result.

    Raises:
        UserError: if there is none.
    """
    logs = sorted(Path(work_dir).glob("*/vis_data/scalars.json"), key=lambda path: path.parent.parent.name)
    for log in reversed(logs):
        for line in reversed(log.read_text(encoding="utf-8").splitlines()):
            try:
                values = json.loads(line)
            except ValueError:
                continue  # A killed run's last line may be cut short.
            # Evaluations say neither a loss nor a learning rate.
            if isinstance(values, dict) and not {"loss", "lr"} & values.keys():
                kept = {name: value for name, value in values.items() if type(value) in (int, float)}
                scores = {name: value for name, value in kept.items() if name not in ("step", "time", "data_time", "memory")}
                if scores:
                    return scores
    raise UserError(f"work dir '{work_dir}' has no scores: no evaluation in */vis_data/scalars.json; give them by --score")


def _training(source: str | Path) -> dict[str, str | int | float]:
    notes = read_notes(source)
    return {f"training's {name}": notes[name] for name in ("epoch", "iter", "time", "mmengine_version") if name in notes}


def _versions() -> dict[str, str]:
    versions = {"mmbeit3": mmbeit3.__version__, "Python": platform.python_version(), "PyTorch": torch.__version__}
    return versions | {found.distribution: found.version for package in _PACKAGES if (found := find_installed(package))}


def _card(
    name: str, file: str, facts: Mapping[str, object], scores: Mapping[str, float | str], config: str | Path | None
) -> str:
    parts = [f"---\nlibrary_name: mmbeit3\n---\n\n# {name}\n"]
    if scores:
        parts.append("| metric | score |\n|---|---|\n" + _rows(scores))
    parts.append("| | |\n|---|---|\n" + _rows(facts))
    if config is not None:
        text = Path(config).read_text(encoding="utf-8").rstrip()
        parts.append(
            f"Trained with this config, which inherits from those of mmbeit3 {mmbeit3.__version__}:\n\n"
            f"````python\n{text}\n````\n"
        )
        parts.append(f"Evaluate it with `python tools/test.py {Path(config).name} {file}`.\n")
    return "\n".join(parts)


def _rows(values: Mapping[str, object]) -> str:
    return "".join(f"| {_cell(name)} | {_cell(value)} |\n" for name, value in values.items())


def _cell(value: object) -> str:
    return one_line(f"{value:.6g}" if isinstance(value, float) else value).replace("|", "\\|")
