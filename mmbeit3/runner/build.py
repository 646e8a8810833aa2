"""Build MMEngine's runner from a config, for training and testing with any OpenMMLab library."""

from __future__ import annotations

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from mmbeit3.checkpoint import check_same_model, read_state_dict
from mmbeit3.engine.hooks import FiniteLossHook
from mmbeit3.engine.scale_lr import scale_runner_lr
from mmbeit3.errors import UserError, one_line
from mmbeit3.pretrain.checks import leaves_weights_out
from mmbeit3.runner.checks import check_config
from mmbeit3.runner.console import watch_logger
from mmbeit3.runner.iterations import check_iterations
from mmbeit3.runner.runners import CheckedFlexibleRunner, CheckedRunner
from mmbeit3.runner.weights import without_downloads, without_wrappers

__all__ = ["build_runner"]


def build_runner(cfg: Config, splits: tuple[str, ...]) -> Runner:
    """Check a config, build its runner, and prepare the runner for training.

    The steps are :func:`~mmbeit3.runner.checks.check_config`, MMEngine's ``from_cfg`` including data and metrics, and, for
    training, the scaled learning rate, the check for losses that are not finite, and the checks of the number of iterations and
    of a resumed checkpoint.

    Args:
        cfg: the config; it is not changed.
        splits: those of ``train``, ``val`` and ``test`` that will run.

    Raises:
        UserError: if a check fails, or if the model, the data or the metrics cannot be built.
    """
    watch_logger(MMLogger.get_current_instance())
    check_config(cfg, splits)
    if cfg.get("launcher") == "pytorch" and get_device() == "cpu" and not dist.is_initialized():
        # MMEngine would assign a GPU to each process.
        dist.init_process_group("gloo")
    try:
        if "train" not in splits:
            cfg = cfg.copy()
            cfg.model = without_downloads(cfg.model)
        elif leaves_weights_out(cfg) and "find_unused_parameters" not in cfg:
            cfg = cfg.copy()
            cfg.find_unused_parameters = True
        # Strategies, such as sharded training, need MMEngine's flexible runner.
        runner_type = CheckedFlexibleRunner if "strategy" in cfg else CheckedRunner
        runner = runner_type.from_cfg(cfg)
        if "train" in splits:
            _prepare_training(runner)
        for split in splits:
            # MMEngine builds data and metrics at first use, which may be an epoch later.
            getattr(runner, f"{split}_loop")
        if "train" in splits:
            check_iterations(runner.train_loop, cfg.get("param_scheduler"))
        if "train" in splits and cfg.get("resume") and isinstance(runner.model, nn.Module):
            _check_resumed(runner.model, cfg.get("load_from") or find_latest_checkpoint(runner.work_dir))
    except UserError:
        raise
    except Exception as error:
        # Any error of a library at this point, those of model hubs included, comes from the config or from what it needs.
        raise UserError(f"the config cannot be built: {type(error).__name__}: {one_line(error)}") from error
    return runner


def _prepare_training(runner: Runner) -> None:
    """Scale the learning rate, and add the check for finite losses."""
    scale_runner_lr(runner)
    if not any(isinstance(hook, FiniteLossHook) for hook in runner.hooks):
        runner.register_hook(FiniteLossHook())


def _check_resumed(model: nn.Module, checkpoint: str | None) -> None:
    """Check the checkpoint to resume from. MMEngine would leave weights that do not match unchanged and continue."""
    if checkpoint is not None:
        check_same_model(without_wrappers(model), read_state_dict(checkpoint), checkpoint)
