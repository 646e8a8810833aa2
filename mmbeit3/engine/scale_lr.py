"""Learning rates for the batch that one update is really made of, accumulated gradients included.

The linear rule (arXiv 1706.02677): twice the batch, twice the rate. MMEngine's own scaling counts the GPUs and what each has in
a step, but not the steps of which ``accumulative_counts`` makes one update.
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
    """Have a runner train at the rate for its real batch, if ``auto_scale_lr`` is enabled in its config. Else do nothing.

    To be called once, before training. MMEngine scales when training begins; what it leaves out is put into the rates that the
    runner builds its optimizers with. The runner's config, which is written to the work directory, stays as it is, and so does
    what MMEngine decides by it when resuming with another number of GPUs.

    Args:
        runner: built from a config.

    Raises:
        UserError: as :func:`scale_lr`; and for a strategy under which MMEngine scales nothing.
    """
    auto_scale_lr = runner.cfg.get("auto_scale_lr")
    if not auto_scale_lr or not auto_scale_lr.get("enable", False) or runner.optim_wrapper is None:
        return
    strategy = runner.cfg.get("strategy")
    if strategy and "DeepSpeed" in str(strategy.get("type")):
        raise UserError("auto_scale_lr: MMEngine scales no rates under DeepSpeed: set them for the batch and leave it out")
    loader = runner.cfg.get("train_dataloader")
    real = _batch_size(loader)
    # Of a config, MMEngine's plain runner looks at this number alone.
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
    """Multiply learning rates by the real batch over the one that they are for, whether ``auto_scale_lr`` is enabled or not.

    The real batch is ``world_size * batch_size * accumulative_counts``. Of several optimizers each has its own.

    Args:
        optim_wrapper: MMEngine's, as a config, built, or a dict of several of either.
        train_dataloader: built, or a config with ``batch_size``, its own or its ``batch_sampler``'s, which counts first.
        world_size: number of processes.
        auto_scale_lr: with ``base_batch_size``, the batch that the rates are for.
        already: what somebody else multiplies the rates by.

    Returns:
        What was built, its rates changed, or a new config; the given one stays as it is.

    Raises:
        UserError: if ``base_batch_size`` is missing or no positive number, the batch size is not known, or a rate is missing.
    """
    base, batch = _base_batch_size(auto_scale_lr), _batch_size(train_dataloader) * world_size
    return _scaled(optim_wrapper, batch, base, already)


def _scaled(wrapper: Any, batch: int, base: float, already: float) -> Any:
    # Itself a wrapper, too.
    if isinstance(wrapper, OptimWrapperDict):
        for one in wrapper.values():
            _scaled(one, batch, base, already)
        return wrapper
    if isinstance(wrapper, OptimWrapper):
        ratio = _ratio(batch, wrapper._accumulative_counts, base)
        _multiply(wrapper.optimizer, ratio / already)
        # What MMEngine logs as the base rate, and schedules with the rest.
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
        raise UserError(f"auto_scale_lr needs a rate to scale, and optim_wrapper.optimizer has lr={optimizer.get('lr')!r}")
    changed["optimizer"] = copy.copy(optimizer)
    changed["optimizer"]["lr"] = optimizer["lr"] * ratio / already
    return changed


def _ratio(batch: int, counts: int, base: float) -> float:
    ratio = batch * counts / base
    print_log(
        f"auto_scale_lr: the rate is for a batch of {base}; an update has {batch * counts}, in {counts} step(s) of {batch}: "
        f"times {ratio:.6g} in all",
        logger="current",
    )
    return ratio


def _multiply(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor


def _base_batch_size(auto_scale_lr: Mapping[str, Any]) -> float:
    base = auto_scale_lr.get("base_batch_size")
    if isinstance(base, bool) or not isinstance(base, int | float) or not base > 0:
        raise UserError(f"auto_scale_lr needs base_batch_size, the batch that the rates are for, above 0; got {base!r}")
    return base


def _batch_size(loader: Mapping[str, Any] | DataLoader | None) -> int:
    """What one process has in a step."""
    if isinstance(loader, DataLoader):
        found = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    else:
        loader = loader or {}
        sampler = loader.get("batch_sampler")
        own = sampler.get("batch_size") if isinstance(sampler, Mapping) else getattr(sampler, "batch_size", None)
        found = loader.get("batch_size") if own is None else own
    if not found:
        raise UserError("auto_scale_lr needs train_dataloader.batch_size, and there is none: give it, or set rates by hand")
    return found
