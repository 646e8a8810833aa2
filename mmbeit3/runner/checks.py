"""Check a config, the data that it names and the file that it starts from, before anything is built."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import urlparse

from mmengine.config import Config
from mmengine.device import get_device

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.datasets.checks import check_data
from mmbeit3.datasets.task_checks import check_task
from mmbeit3.errors import UserError
from mmbeit3.pretrain.checks import check_pretraining

__all__ = ["check_config"]

_LIBRARIES = {"mmdet": "det", "mmseg": "seg", "mmpretrain": "tasks"}
"""Packages whose names are scopes in configs, and the extras that install them."""


def check_config(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check what a config names before its runner is built.

    Args:
        cfg: the config; it is not changed.
        splits: those of ``train``, ``val`` and ``test`` that will run.

    Raises:
        UserError: if a library is not installed, data is missing or does not match the model, ``load_from`` cannot be read
            safely, or the config asks for mixed precision on a CPU.
    """
    if cfg.get("load_from") and urlparse(cfg.load_from).scheme in ("", "http", "https"):
        # Report a damaged or unsafe file before anything is built.
        read_state_dict(cfg.load_from)
    _check_library(cfg.get("default_scope"), f"the config's default_scope '{cfg.get('default_scope')}'")
    _check_libraries(cfg.to_dict())
    check_data(cfg, splits)
    check_task(cfg, splits)
    check_pretraining(cfg)
    if "train" in splits:
        _check_precision(cfg)


def _check_precision(cfg: Config) -> None:
    """Refuse mixed precision on a CPU. MMEngine refuses it only after everything else is built."""
    wrapper = str((cfg.get("optim_wrapper") or {}).get("type")).rpartition(".")[2].rstrip("'>")
    if wrapper == "AmpOptimWrapper" and get_device() in ("cpu", "mps"):
        raise UserError(
            f"optim_wrapper is AmpOptimWrapper (mixed precision), which MMEngine does not support on '{get_device()}': train "
            "in float32, without --amp and with optim_wrapper=dict(type='OptimWrapper', ...) without dtype and loss_scale"
        )


def _check_libraries(cfg: Any) -> None:
    """Check that the libraries of all types in a config are installed. MMEngine would only report an unknown type."""
    if isinstance(cfg, dict):
        kind = cfg.get("type")
        if isinstance(kind, str):
            _check_library(kind.partition(".")[0] if "." in kind else None, f"the config's '{kind}'")
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for part in cfg:
            _check_libraries(part)


def _check_library(scope: str | None, what: str) -> None:
    if scope in _LIBRARIES and find_spec(scope) is None:
        raise UserError(f"{what} needs {scope}, which is not installed: pip install 'mmbeit3[{_LIBRARIES[scope]}]'")
