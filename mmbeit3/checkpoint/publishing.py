"""Publishing of a training checkpoint: weights only, with a checksum in the file name and a model card."""

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
    """Write a checkpoint's weights as ``NAME-<first 8 digits of the SHA-256>.safetensors``, and a card as ``README.md``.

    Args:
        source: a training checkpoint. Its optimizer, schedules and logs are left out.
        folder: folder to write to; created if missing.
        name: name of the model.
        scores: metric names to values, for the card.
        config: config file that the model was trained with. The card quotes it.
        allow_nonfinite: publish NaN and infinity as well.

    Returns:
        Path of the weights.

    Raises:
        UserError: if the checkpoint cannot be read, the config is missing, or the folder already has a card.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"'{name}' cannot be the name of a file. Give a name without slashes by --name")
    if config is not None and not Path(config).is_file():
        raise UserError(f"config '{config}' does not exist. Give the path of a config file")
    folder = Path(folder)
    if (folder / "README.md").exists():
        raise UserError(f"folder '{folder}' already has a README.md. Give each model a folder")
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
    """Return the scores of the last evaluation in a work dir, from the newest ``scalars.json`` that has scores.

    Raises:
        UserError: if the work dir has no scores.
    """
    logs = sorted(Path(work_dir).glob("*/vis_data/scalars.json"), key=lambda path: path.parent.parent.name)
    for log in reversed(logs):
        for line in reversed(log.read_text(encoding="utf-8").splitlines()):
            try:
                values = json.loads(line)
            except ValueError:
                continue  # The last line of a killed run may be truncated.
            # Lines of training steps have a loss or a learning rate, lines of evaluations have neither.
            if isinstance(values, dict) and not {"loss", "lr"} & values.keys():
                kept = {name: value for name, value in values.items() if type(value) in (int, float)}
                scores = {name: value for name, value in kept.items() if name not in ("step", "time", "data_time", "memory")}
                if scores:
                    return scores
    raise UserError(f"work dir '{work_dir}' has no scores: */vis_data/scalars.json has no evaluation. Give scores by --score")


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
