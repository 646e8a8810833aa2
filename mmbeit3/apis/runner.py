"""Building MMEngine's runner from a config file, for training and testing in any OpenMMLab codebase."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch.distributed as dist
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from mmbeit3.apis.loading import CarefulFlexibleRunner, CarefulRunner, quiet_console
from mmbeit3.checkpoint import check_same_model, load_checkpoint, read_state_dict
from mmbeit3.datasets.checks import check_data
from mmbeit3.datasets.task_checks import check_task
from mmbeit3.engine.hooks import FiniteLossHook
from mmbeit3.engine.scale_lr import scale_runner_lr
from mmbeit3.errors import UserError, one_line
from mmbeit3.extras import explain
from mmbeit3.pretrain.checks import check_pretraining
from mmbeit3.resources import config_path
from mmbeit3.tasks.base import TaskModel

__all__ = ["build_runner", "load_trained", "read_config", "use_tta"]


_LIBRARIES = {"mmdet": "det", "mmseg": "seg", "mmpretrain": "tasks"}
"""Packages whose names are scopes in configs, and the extras that bring them."""


def read_config(path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config file and apply what the command line changes.

    Args:
        path: the file; or ``mmbeit3::`` and a path below the configs that come with the package.
        options: dotted names to values, as ``--cfg-options`` gives them.
        work_dir: where results go; default the config's own, else ``work_dirs/`` and the file's name.

    Raises:
        UserError: if the file does not exist, is no config, or inherits from a package that is not installed.
    """
    path = config_path(path)
    if not path.is_file():
        raise UserError(f"config '{path}' does not exist")
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"config '{path}' cannot be read ({type(error).__name__}: {one_line(error)})") from error
    except ImportError as error:
        # MMEngine looks for the packages whose configs it inherits from, and imports what it has in custom_imports.
        raise UserError(
            f"config '{path}' needs what is not installed: {explain(error) or one_line(error)}; "
            "pip install 'mmbeit3[all]' brings everything that the package's own need"
        ) from error
    if options:
        try:
            cfg.merge_from_dict(dict(options))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise UserError(
                f"--cfg-options do not fit config '{path}': {one_line(error)}; name settings that it has"
            ) from error
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / path.stem)
    return cfg


def build_runner(cfg: Config, splits: tuple[str, ...], quiet: bool = False) -> Runner:
    """Check the data a config names and build its runner.

    Args:
        cfg: the config.
        splits: which of ``train``, ``val`` and ``test`` will be run.
        quiet: show warnings and errors only; the log file is complete all the same.

    Raises:
        UserError: if data is missing or does not fit, mixed precision is wanted of a CPU, ``load_from`` cannot be read
            safely, or model, data or metrics cannot be built.
    """
    if cfg.get("load_from") and urlparse(cfg.load_from).scheme in ("", "http", "https"):
        # A file that is damaged, or could run code, is named before anything is built.
        read_state_dict(cfg.load_from)
    _check_library(cfg.get("default_scope"), f"the config's default_scope '{cfg.get('default_scope')}'")
    _check_libraries(cfg.to_dict())
    check_data(cfg, splits)
    check_task(cfg, splits)
    check_pretraining(cfg)
    if "train" in splits:
        _check_precision(cfg)
    if cfg.get("launcher") == "pytorch" and get_device() == "cpu" and not dist.is_initialized():
        # MMEngine would take a GPU for each process.
        dist.init_process_group("gloo")
    try:
        # Strategies, such as sharded training, have a runner of their own.
        with quiet_console(quiet):
            runner = (CarefulFlexibleRunner if "strategy" in cfg else CarefulRunner).from_cfg(cfg)
        if "train" in splits:
            scale_runner_lr(runner)
            if not any(isinstance(hook, FiniteLossHook) for hook in runner.hooks):
                runner.register_hook(FiniteLossHook())
        for split in splits:
            # MMEngine would build data and metrics only when it comes to them, which may be an epoch later.
            getattr(runner, f"{split}_loop")
        if "train" in splits and cfg.get("resume") and isinstance(runner.model, nn.Module):
            _check_resumed(runner.model, cfg.get("load_from") or find_latest_checkpoint(runner.work_dir))
        return runner
    except UserError:
        raise
    except Exception as error:
        # Whatever a library raises here, hubs' own errors included, is about the config or what it needs.
        raise UserError(f"the config cannot be built: {type(error).__name__}: {one_line(error)}") from error


def _check_precision(cfg: Config) -> None:
    """MMEngine's mixed precision needs an accelerator, which it would say after everything else is built."""
    wrapper = str((cfg.get("optim_wrapper") or {}).get("type")).rpartition(".")[2].rstrip("'>")
    if wrapper == "AmpOptimWrapper" and get_device() in ("cpu", "mps"):
        raise UserError(
            f"optim_wrapper is AmpOptimWrapper, mixed precision, which MMEngine has for GPUs and not for '{get_device()}': "
            "train in float32, without --amp, by optim_wrapper=dict(type='OptimWrapper', ...) without dtype and loss_scale"
        )


def _check_libraries(cfg: Any) -> None:
    """Whether a library is there of which a config names parts; MMEngine would only say that it does not know them."""
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
        raise UserError(f"{what} is {scope}'s, which is not installed: pip install 'mmbeit3[{_LIBRARIES[scope]}]'")


def _check_resumed(model: nn.Module, checkpoint: str | None) -> None:
    """MMEngine would leave weights that do not fit as they are, and go on."""
    if checkpoint is not None:
        check_same_model(_unwrapped(model), read_state_dict(checkpoint), checkpoint)


def _unwrapped(model: nn.Module) -> nn.Module:
    while isinstance(wrapped := getattr(model, "module", None), nn.Module):
        model = wrapped
    return model


def load_trained(model: nn.Module, checkpoint: str | Path) -> None:
    """Fill a model to be tested or asked.

    Args:
        model: a task's model, whose network is filled from a file of any layout, such as the official fine-tuned ones; or any
            other model, filled from what its training wrote; or either wrapped, as for several processes or test-time
            augmentation.
        checkpoint: path or URL.

    Raises:
        UserError: if the file cannot be read, is of another model, or lacks a part of it, such as the task's head.
    """
    model = _unwrapped(model)
    if not isinstance(model, TaskModel):
        load_checkpoint(model, checkpoint, strict=True)
        return
    report = load_checkpoint(model.network, checkpoint)
    if report.missing:
        raise UserError(
            f"checkpoint '{checkpoint}' is not of this task: it lacks {len(report.missing)} of the model's tensors, such as "
            f"{report.missing[0]}; give one that {type(model).__name__} was trained to"
        )
    print_log(str(report), logger="current")


def use_tta(cfg: Config) -> None:
    """Make a config test with its own test-time augmentation.

    Raises:
        UserError: if it has none.
    """
    if "tta_model" not in cfg or "tta_pipeline" not in cfg:
        raise UserError("--tta needs tta_model and tta_pipeline in the config, and this one has none")
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
