"""The model of a tab: checked when the page starts, loaded when it is first used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.downloads import is_url
from mmbeit3.errors import UserError, one_line
from mmbeit3.inference.loading import resolve_model

__all__ = ["Source"]


class Source:
    """Config and checkpoint of a model.

    Args:
        model: see :func:`~mmbeit3.inference.load_model`.
        checkpoint: see :func:`~mmbeit3.inference.load_model`.
        device: device such as ``'cuda:1'``; None for a GPU if there is one.

    Attributes:
        model: the argument.
        checkpoint: path or URL of the weights; None for a name of the zoo, whose weights are downloaded at first use.
        device: the argument.
        cfg: the config.

    Raises:
        UserError: if there is no such model or device: a typo should fail before the page opens.
    """

    def __init__(self, model: str, checkpoint: str | None = None, device: str | None = None) -> None:
        self.model = model
        self.device = device
        if device is not None:
            _check_device(device)
        self.cfg, self.checkpoint = resolve_model(model, checkpoint, download=False)
        if self.checkpoint is not None and not is_url(self.checkpoint) and not Path(self.checkpoint).exists():
            raise UserError(f"checkpoint '{self.checkpoint}' does not exist: check the path")

    @property
    def note(self) -> str:
        """Names of the config and the checkpoint."""
        # The config of a published model is not a Python file.
        name = Path(self.cfg.filename).stem if self.cfg.filename else Path(self.model).resolve().name
        return name if self.checkpoint is None else f"{name}, weights {Path(self.checkpoint).name}"

    @property
    def folder(self) -> Path | None:
        """Folder with the images of the test dataset, if it is on this computer."""
        if not self.cfg.get("test_dataloader"):
            return None
        dataset = next(find_datasets(self.cfg.test_dataloader.dataset))
        prefix = dataset.get("data_prefix") or {}
        prefix = {"img": prefix} if isinstance(prefix, str) else prefix
        parts = [part for part in (prefix.get("img"), prefix.get("img_path")) if isinstance(part, str) and part]
        root = dataset.get("data_root")
        if not parts or not isinstance(root, str | None):
            return None
        folder = Path(root or "", parts[0])
        return folder if folder.is_dir() else None

    def build(self, inferencer: Any, **options: Any) -> Any:
        """Load the model with a class of :mod:`mmbeit3.inference`.

        Raises:
            UserError: if the model cannot be loaded or is of another task.
        """
        cfg, checkpoint = resolve_model(self.model, self.checkpoint)
        return inferencer(cfg, checkpoint, self.device, **{"show_progress": False, **options})


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device '{device}' cannot be used ({one_line(error)}): give cpu, or cuda on a machine with a GPU"
        ) from error
