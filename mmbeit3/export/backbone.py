"""Build the backbone of a config and load its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.registry import MODELS
from mmbeit3.runner.weights import without_downloads

__all__ = ["build_backbone"]

_EXPORTED = ("mmbeit3.BEiT3Vision", "mmbeit3.ViTAdapter")


def build_backbone(cfg: Config, checkpoint: str | Path | None = None) -> tuple[nn.Module, str]:
    """Build the backbone of a detector's or segmentor's config.

    Args:
        cfg: the config.
        checkpoint: path or URL of the weights of the detector, the segmentor or the backbone, in any supported layout; default
            the weights that the config's ``init_cfg`` names.

    Returns:
        The backbone in evaluation mode, and one line that describes the source of its weights.

    Raises:
        UserError: if the config has no backbone of mmbeit3, the backbone cannot be built, or the checkpoint lacks some of its
            weights.
    """
    backbone = cfg.get("model", {}).get("backbone")
    if backbone is None:
        raise UserError(f"config '{cfg.filename}' has no model.backbone: give the config of a detector or segmentor")
    options = backbone.to_dict()
    if unknown := [part.get("type") for part in _parts(options) if part.get("type") not in _EXPORTED]:
        raise UserError(
            f"config '{cfg.filename}' has the backbone '{unknown[0]}': only {' and '.join(_EXPORTED)} can be exported"
        )
    if checkpoint is not None:
        options = without_downloads(options)
    try:
        model = MODELS.build(options)
    except (ValueError, KeyError, TypeError) as error:
        message = one_line(error)
        raise UserError(f"the backbone of config '{cfg.filename}' cannot be built: {message}") from error
    if checkpoint is None:
        if not any(part.get("init_cfg") for part in _parts(options)):
            return model.eval(), "random weights: neither the command nor the config names a checkpoint"
        model.init_weights()
        return model.eval(), "weights named by the init_cfg of the config"
    report = load_checkpoint(model, checkpoint)
    if report.missing:
        missing = list_first(report.missing, 1)
        raise UserError(f"checkpoint '{checkpoint}' lacks weights of the backbone of config '{cfg.filename}': {missing}")
    return model.eval(), f"{len(report.loaded)} tensors loaded from {report.source}"


def _parts(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options of the backbone and, for an adapter, of the ViT inside it."""
    return [options, *([options["vit"]] if "vit" in options else [])]
