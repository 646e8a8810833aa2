"""A task's model from its config, with its weights."""

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
    """Build the model of a task's config.

    Args:
        cfg: the config.
        checkpoint: path or URL of a checkpoint of this task, of any layout; default what the config starts from, without a
            trained head.

    Returns:
        The model in evaluation mode, and in one line where its weights are from.

    Raises:
        UserError: if the config's model cannot be exported or built, or if the checkpoint does not have all its weights.
    """
    kind = cfg.get("model", {}).get("type")
    if kind is None:
        raise UserError(f"config '{cfg.filename}' has no model: give one of a detector, a segmentor or a task")
    # One that is not registered is named as it stands.
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
    return model.eval(), "weights that the config starts from, whose head is not trained"
