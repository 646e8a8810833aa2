"""Build the model of a task config and load its weights."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmbeit3.errors import UserError, one_line
from mmbeit3.export.graphs import check_exported
from mmbeit3.registry import MODELS
from mmbeit3.runner.weights import load_trained
from mmbeit3.tasks.base import TaskModel

__all__ = ["build_task"]


def build_task(cfg: Config, checkpoint: str | Path | None = None) -> tuple[TaskModel, str]:
    """Build the model of a task config.

    Args:
        cfg: the config.
        checkpoint: path or URL of a checkpoint of this task, in any supported layout; default the weights that the config's
            ``init_cfg`` names, which have no trained head.

    Returns:
        The model in evaluation mode, and one line that describes the source of its weights.

    Raises:
        UserError: if the model cannot be exported or built, or the checkpoint lacks some of its weights.
    """
    kind = cfg.get("model", {}).get("type")
    if kind is None:
        raise UserError(f"config '{cfg.filename}' has no model: give the config of a detector, a segmentor or a task")
    # The error message names a type that is not registered as the config spells it.
    check_exported((MODELS.get(kind) or kind) if isinstance(kind, str) else kind)
    try:
        model = MODELS.build(cfg.model)
    except (ValueError, KeyError, TypeError, ImportError) as error:
        raise UserError(f"the model of config '{cfg.filename}' cannot be built: {one_line(error)}") from error
    if checkpoint is not None:
        load_trained(model, checkpoint)
        return model.eval(), f"weights of {checkpoint}"
    if not model.init_cfg:
        return model.eval(), "random weights: neither the command nor the config names a checkpoint"
    model.init_weights()
    return model.eval(), "weights named by the init_cfg of the config, with an untrained head"
