"""Publishing of a training checkpoint: weights only, with a checksum in the file name, a config and a model card."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

_CONFIG = "config.json"
"""Name of the config beside the weights; :data:`mmbeit3.inference.published.PUBLISHED_CONFIG` for its reader."""

_GIT = re.compile(r"(?<=\d)(unknown|[0-9a-f]{40})$")
"""MMEngine appends the commit of the current folder, or this word, to its version without a separator."""

_TIME = re.compile(r"^(\d{4})(\d\d)(\d\d)_\d{6}$")
"""Time as MMEngine writes it."""


def publish(
    source: str | Path,
    folder: str | Path,
    name: str,
    scores: Mapping[str, float | str],
    config: str | Path | None = None,
    allow_nonfinite: bool = False,
    prediction: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint's weights as ``NAME-<first 8 digits of the SHA-256>.safetensors``, and a card as ``README.md``.

    Args:
        source: a training checkpoint. Its optimizer, schedules and logs are left out.
        folder: folder to write to; created if missing.
        name: name of the model.
        scores: metric names to values, for the card.
        config: config file that the model was trained with. The card quotes it.
        allow_nonfinite: publish NaN and infinity as well.
        prediction: content of ``config.json``, from which :func:`~mmbeit3.inference.load_model` builds the model; see
            :func:`~mmbeit3.inference.published.prediction_config`. None if the model is neither a detector nor a segmentor.

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
    for name_taken in ("README.md", _CONFIG):
        if (folder / name_taken).exists():
            raise UserError(f"folder '{folder}' already has a {name_taken}. Give each model a folder")
    tensors = read_lazily(source)
    layout = detect_layout(tensors)
    metadata = {"layout": layout.name if layout else "unknown", "mmbeit3_version": mmbeit3.__version__}
    # The name is known only when the file is complete. NAME.safetensors may be the source, or another file of the user.
    unnamed = folder / f".{name}.partial.safetensors"
    try:
        write_safetensors(tensors, unnamed, metadata, allow_nonfinite)
        digest = hash_file(unnamed)
        path = unnamed.replace(folder / f"{name}-{digest[:8]}.safetensors")
    finally:
        unnamed.unlink(missing_ok=True)
    # Counters of batch norms are whole numbers.
    floats = [tensor for tensor in tensors.values() if tensor.dtype.is_floating_point]
    parameters = sum(tensor.shape.numel() for tensor in floats)
    facts = {
        "file": path.name,
        "SHA-256": digest,
        "bytes": path.stat().st_size,
        "parameters": f"{parameters:,}",
        "precision": ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in floats})),
        "layout": metadata["layout"],
        **_training(source),
        **_versions(),
    }
    if prediction is not None:
        write_atomically(folder / _CONFIG, (json.dumps(prediction, indent=2) + "\n").encode())
    usage = _usage(folder.resolve().name) if prediction is not None else ""
    write_atomically(folder / "README.md", _card(name, path.name, facts, scores, config, usage).encode())
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
    labels = {"epoch": "epochs", "iter": "iterations", "time": "trained on", "mmengine_version": "MMEngine of training"}
    found = {label: notes[key] for key, label in labels.items() if key in notes}
    for label, pattern, form in ((labels["mmengine_version"], _GIT, ""), (labels["time"], _TIME, r"\1-\2-\3")):
        if label in found:
            found[label] = pattern.sub(form, str(found[label]))
    return found


def _versions() -> dict[str, str]:
    versions = {"mmbeit3": mmbeit3.__version__, "Python": platform.python_version(), "PyTorch": torch.__version__}
    return versions | {found.distribution: found.version for package in _PACKAGES if (found := find_installed(package))}


def _usage(folder: str) -> str:
    """Return the card's part that shows how to predict; ``folder`` is the folder of the card."""
    return (
        f"## Predict\n\nIn Python, with the path of this folder:\n\n"
        f"```python\nfrom mmbeit3 import load_model\n\n"
        f'model = load_model("{folder}")\nresult = model.predict("photo.jpg")\n'
        f'print(result.counts())\nresult.save("found.png")\n```\n\n'
        f"On the command line, in a clone of mmbeit3:\n\n"
        f"```bash\npython tools/predict.py {folder} photo.jpg --out found.png\n```\n\n"
        f"`{_CONFIG}` describes the model as data; loading the folder executes no code from it.\n"
    )


def _card(
    name: str,
    file: str,
    facts: Mapping[str, object],
    scores: Mapping[str, float | str],
    config: str | Path | None,
    usage: str,
) -> str:
    parts = [f"---\nlibrary_name: mmbeit3\n---\n\n# {name}\n"]
    if scores:
        parts.append("| metric | score |\n|---|---|\n" + _rows(scores))
    if usage:
        parts.append(usage)
    parts.append("## Files and versions\n\n| what | value |\n|---|---|\n" + _rows(facts))
    if config is not None:
        text = Path(config).read_text(encoding="utf-8").rstrip()
        inherits = f", which inherits from those of mmbeit3 {mmbeit3.__version__}" if "_base_" in text else ""
        parts.append(f"## Training\n\nTrained with this config{inherits}:\n\n````python\n{text}\n````\n")
        parts.append(f"Evaluate it with `python tools/test.py {Path(config).name} {file}`.\n")
    return "\n".join(parts)


def _rows(values: Mapping[str, object]) -> str:
    return "".join(f"| {_cell(name)} | {_cell(value)} |\n" for name, value in values.items())


def _cell(value: object) -> str:
    return one_line(f"{value:.6g}" if isinstance(value, float) else value).replace("|", "\\|")
