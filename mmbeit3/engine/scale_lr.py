"""Scale learning rates linearly with the batch size of an update, including accumulated gradients (arXiv 1706.02677).

MMEngine's own scaling counts the GPUs and the batch of each, but not the ``accumulative_counts`` steps of an update.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from mmbeit3.errors import UserError

__all__ = ["scale_lr", "scale_runner_lr"]


def scale_runner_lr(runner: Runner | FlexibleRunner) -> None:
    """Scale a runner's learning rates for its real batch if ``auto_scale_lr`` is enabled in its config.

    Call it once, before training. MMEngine scales when training begins. This function applies the factor that MMEngine leaves
    out to the optimizer configs of the runner. The runner's own config, which is written to the work directory, does not
    change, so MMEngine still compares it when training resumes with another number of GPUs.

    Args:
        runner: built from a config.

    Raises:
        UserError: see :func:`scale_lr`; also for DeepSpeed, for which MMEngine does not scale.
    """
    auto_scale_lr = runner.cfg.get("auto_scale_lr")
    if not auto_scale_lr or not auto_scale_lr.get("enable", False) or runner.optim_wrapper is None:
        return
    strategy = runner.cfg.get("strategy")
    if strategy and "DeepSpeed" in str(strategy.get("type")):
        raise UserError("auto_scale_lr does not work with DeepSpeed: remove it, and set the learning rates for your batch size")
    loader = runner.cfg.get("train_dataloader")
    real = _batch_size(loader)
    # MMEngine's plain runner reads only this key of a dataloader config, not that of the batch sampler.
    seen = real if strategy else (loader or {}).get("batch_size", real)
    base = _base_batch_size(auto_scale_lr)
    runner.optim_wrapper = scale_lr(
        runner.optim_wrapper, loader, runner.world_size, auto_scale_lr, already=runner.world_size * seen / base
    )


def scale_lr(
    optim_wrapper: Any,
    train_dataloader: Mapping[str, Any] | DataLoader | None,
    world_size: int,
    auto_scale_lr: Mapping[str, Any],
    already: float = 1.0,
) -> Any:
    """Multiply learning rates by real batch size / base batch size. Ignores the ``enable`` flag.

    The real batch size is ``world_size * batch_size * accumulative_counts``, separately for each optimizer.

    Args:
        optim_wrapper: MMEngine's optimizer wrapper, built or as a config, or a dict of several.
        train_dataloader: built, or a config. The batch sampler's ``batch_size`` takes precedence over the dataloader's.
        world_size: number of processes.
        auto_scale_lr: dict with ``base_batch_size``, the batch size that the learning rates are for.
        already: factor that MMEngine applies itself.

    Returns:
        A built wrapper with its rates changed in place, or a new config.

    Raises:
        UserError: if ``base_batch_size`` is missing or not positive, or if the batch size or a learning rate is unknown.
    """
    base, batch = _base_batch_size(auto_scale_lr), _batch_size(train_dataloader) * world_size
    return _scaled(optim_wrapper, batch, base, already)


def _scaled(wrapper: Any, batch: int, base: float, already: float) -> Any:
    # A subclass of OptimWrapper, so it is checked first.
    if isinstance(wrapper, OptimWrapperDict):
        for one in wrapper.values():
            _scaled(one, batch, base, already)
        return wrapper
    if isinstance(wrapper, OptimWrapper):
        ratio = _ratio(batch, wrapper._accumulative_counts, base)
        _multiply(wrapper.optimizer, ratio / already)
        # MMEngine logs and schedules this base rate like the others.
        if wrapper.base_param_settings is not None:
            wrapper.base_param_settings["lr"] *= ratio / already
        return wrapper
    changed: Any = copy.copy(wrapper)
    if "optimizer" not in wrapper:
        for name, one in wrapper.items():
            if isinstance(one, OptimWrapper) or (isinstance(one, Mapping) and "optimizer" in one):
                changed[name] = _scaled(one, batch, base, already)
        return changed
    ratio = _ratio(batch, wrapper.get("accumulative_counts", 1), base)
    optimizer = wrapper["optimizer"]
    if isinstance(optimizer, Optimizer):
        _multiply(optimizer, ratio / already)
        return wrapper
    if not isinstance(optimizer.get("lr"), int | float):
        raise UserError(
            f"auto_scale_lr needs a number as learning rate, but optim_wrapper.optimizer has lr={optimizer.get('lr')!r}"
        )
    changed["optimizer"] = copy.copy(optimizer)
    changed["optimizer"]["lr"] = optimizer["lr"] * ratio / already
    return changed


def _ratio(batch: int, counts: int, base: float) -> float:
    ratio = batch * counts / base
    print_log(
        f"auto_scale_lr: base batch size {base}, update batch size {batch * counts} ({counts} step(s) of {batch}): "
        f"learning rates are multiplied by {ratio:.6g}",
        logger="current",
    )
    return ratio


def _multiply(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor


def _base_batch_size(auto_scale_lr: Mapping[str, Any]) -> float:
    base = auto_scale_lr.get("base_batch_size")
    if isinstance(base, bool) or not isinstance(base, int | float) or not base > 0:
        raise UserError(
            f"auto_scale_lr needs base_batch_size, the batch size that the learning rates are for, above 0; got {base!r}"
        )
    return base


def _batch_size(loader: Mapping[str, Any] | DataLoader | None) -> int:
    """Return the batch size of one process in one step."""
    if isinstance(loader, DataLoader):
        found = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    else:
        loader = loader or {}
        sampler = loader.get("batch_sampler")
        own = sampler.get("batch_size") if isinstance(sampler, Mapping) else getattr(sampler, "batch_size", None)
        found = loader.get("batch_size") if own is None else own
    if not found:
        raise UserError(
            "auto_scale_lr needs train_dataloader.batch_size, which is missing: set it, or set the learning rates yourself"
        )
    return found
