"""Load a trained detector or segmentor for prediction: from a config and a checkpoint, a folder, or a name of the zoo."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.datasets.checks.trained import check_trained_classes
from mmbeit3.downloads import is_url
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.published import PUBLISHED_CONFIG, read_published
from mmbeit3.ops import replace_layers
from mmbeit3.ops.folding import fold_batch_norms
from mmbeit3.resources import CONFIG_PREFIX
from mmbeit3.runner.config import read_config
from mmbeit3.runner.weights import move_to_device, without_downloads
from mmbeit3.zoo import fetch, find

__all__ = ["build_trained", "find_model", "load_model", "refuse_task", "resolve_model"]

_WEIGHTS = (".pth", ".safetensors")

_INFERENCERS = {
    "BEiT3Captioning": "CaptionInferencer",
    "BEiT3Classification": "ClassificationInferencer",
    "BEiT3ZeroShotClassification": "ClassificationInferencer",
    "BEiT3NLVR2": "NLVR2Inferencer",
    "BEiT3Retrieval": "RetrievalInferencer",
    "BEiT3VQA": "VQAInferencer",
}
"""Models of the other tasks, and the classes in :mod:`mmbeit3.inference` that predict with them."""


def load_model(config: str | Path, checkpoint: str | Path | None = None, device: str | None = None) -> Predictor:
    """Load a detector or segmentor. No code inside the checkpoint is executed; a config file is Python code that is.

    Args:
        config: one of

            * a config file, also ``mmbeit3::`` and a path below the package's configs;
            * the work dir of a training, which has the config and the checkpoints: the best one, if the training kept it, else
              the last one;
            * a folder that ``tools/publish_model.py`` wrote; its config is data and is not executed;
            * a name of the zoo, such as ``python tools/download.py --list`` shows.
        checkpoint: path or URL of a checkpoint of this model; needed for a config file.
        device: device such as ``'cuda:1'`` or ``'cpu'``; default: the first GPU if there is one, else the CPU.

    Raises:
        UserError: if config or checkpoint cannot be used, or they belong to another task.
    """
    cfg, weights = resolve_model(config, checkpoint)
    if not cfg.get("test_dataloader") or not cfg.get("model"):
        raise UserError(f"config '{config}' has no model or no test_dataloader: give the config of a detector or segmentor")
    refuse_task(cfg, config)
    assert weights is not None
    return Predictor(build_trained(cfg, weights, device), cfg)


def build_trained(cfg: Config, checkpoint: str | Path, device: str | None = None) -> BaseModel:
    """Build the model of a config with trained weights, in evaluation mode and with fast layers.

    Args:
        cfg: the config, of any task.
        checkpoint: path or URL of a checkpoint of this model.
        device: see :func:`load_model`.

    Raises:
        UserError: if the model cannot be built, the checkpoint belongs to another model, or the device cannot be used.
    """
    init_default_scope(cfg.get("default_scope", "mmengine"))
    try:
        model = MODELS.build(without_downloads(cfg.model))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"the model of config '{cfg.filename}' cannot be built: {one_line(error)}") from error
    check_trained_classes(cfg, checkpoint)
    load_checkpoint(model, checkpoint, strict=True)
    replace_layers(model)
    fold_batch_norms(model.eval())
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return move_to_device(model, device)


def find_model(folder: str | Path) -> tuple[Path, Path]:
    """Return the config file and the checkpoint in the work dir of a training, see :func:`load_model`.

    Raises:
        UserError: if one is missing.
    """
    folder = Path(folder)
    return _dumped_config(folder), _trained_weights(folder)


def resolve_model(
    config: str | Path, checkpoint: str | Path | None = None, download: bool = True
) -> tuple[Config, str | Path | None]:
    """Return the config and the checkpoint that the arguments of :func:`load_model` name, for a model of any task.

    Args:
        config, checkpoint: see :func:`load_model`.
        download: False to download nothing: the checkpoint of a name of the zoo is None then.

    Raises:
        UserError: if there is no such model, or it has no config or no weights.
    """
    path = Path(config)
    if path.is_dir():
        if (path / PUBLISHED_CONFIG).is_file():
            return read_published(path), checkpoint or _published_weights(path)
        return read_config(_dumped_config(path)), checkpoint or _trained_weights(path)
    if not path.exists() and path.suffix not in (".py", ".json", ".yaml") and not str(config).startswith(CONFIG_PREFIX):
        try:
            entry = find(str(config))
        except UserError as error:
            raise UserError(
                f"'{config}' is neither a config file, nor a folder with a model, nor in the zoo: {error}"
            ) from error
        if not entry.config:
            raise UserError(f"'{config}' of the zoo is a file without a model: give a config and this file as checkpoint")
        return read_config(entry.config), checkpoint or (fetch(str(config)) if download else None)
    if checkpoint is None:
        raise UserError(f"config '{config}' needs a checkpoint: give one, or give the work dir of a training instead")
    if not is_url(checkpoint) and Path(checkpoint).is_dir():
        raise UserError(f"checkpoint '{checkpoint}' is a folder: give a file such as {checkpoint}/epoch_12.pth")
    return read_config(config), checkpoint


def _dumped_config(folder: Path) -> Path:
    """Return the config that a training wrote into its work dir."""
    configs = sorted(folder.glob("*.py"))
    if len(configs) == 1:
        return configs[0]
    if configs:
        raise UserError(f"model folder '{folder}' has several configs: give one of {list_first(configs)} and a checkpoint")
    raise UserError(
        f"model folder '{folder}' has no config: give the work dir of a training, a folder of tools/publish_model.py, or a "
        "config and a checkpoint"
    )


def _trained_weights(folder: Path) -> Path:
    best = max(folder.glob("best_*.pth"), key=lambda path: path.stat().st_mtime, default=None)
    if best is not None:
        return best
    record = folder / "last_checkpoint"
    if record.is_file():
        # The record has the path at the time of the training; the folder may have been moved.
        last = folder / Path(record.read_text(encoding="utf-8").strip()).name
        if last.exists():
            return last
    raise _no_weights(folder)


def _published_weights(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)
    if len(files) > 1:
        raise UserError(
            f"model folder '{folder}' has several files with weights: give one of {list_first(files)} as checkpoint"
        )
    if not files:
        raise _no_weights(folder)
    return files[0]


def _no_weights(folder: Path) -> UserError:
    return UserError(
        f"model folder '{folder}' has no weights: it has neither a checkpoint of a training nor a .safetensors file; give a "
        "checkpoint"
    )


def refuse_task(cfg: Config, config: str | Path) -> None:
    """Refuse the models of the other tasks, which have inferencers of their own.

    Raises:
        UserError: if the config is not of a detector or segmentor.
    """
    kind = str(cfg.model.get("type")).rpartition(".")[2]
    if kind in _INFERENCERS:
        raise UserError(f"config '{config}' is of {kind}: use mmbeit3.inference.{_INFERENCERS[kind]}")
    if cfg.get("default_scope") not in ("mmdet", "mmseg"):
        raise UserError(f"config '{config}' is of {kind}, which is neither a detector of mmdet nor a segmentor of mmseg")
