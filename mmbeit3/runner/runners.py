"""MMEngine's runners with checked loading of images, labels and initial weights."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner
from torch import nn
from torch.utils.data import DataLoader

from mmbeit3.checkpoint import start_from
from mmbeit3.engine.strategies import FullyShardedStrategy
from mmbeit3.runner.console import watch_logger
from mmbeit3.runner.loading import use_checked_loading

__all__ = ["CheckedFlexibleRunner", "CheckedRunner"]

_READ = ("", "http", "https")
"""URL schemes of mmbeit3's reader. Others, such as ``torchvision://``, are left to MMEngine."""


class _CheckedLoading:
    """Changes that apply to both runners of MMEngine."""

    cfg: Config

    def build_dataloader(
        self, dataloader: DataLoader | dict[str, Any], seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader, see :func:`use_checked_loading`."""
        return super().build_dataloader(use_checked_loading(dataloader, self.cfg), seed, diff_rank_seed)  # type: ignore[misc]

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """Build the logger, see :func:`~mmbeit3.runner.console.watch_logger`."""
        logger: MMLogger = super().build_logger(log_level, log_file, **kwargs)  # type: ignore[misc]
        watch_logger(logger)
        return logger


class CheckedRunner(_CheckedLoading, Runner):
    """MMEngine's ``Runner`` with checked loading, and with training on CPUs in several processes."""

    def load_or_resume(self) -> None:
        """Load ``load_from`` with :func:`mmbeit3.checkpoint.start_from`, or resume as MMEngine does."""
        if self._has_loaded or self._resume or self._load_from is None or urlparse(self._load_from).scheme not in _READ:
            super().load_or_resume()
            return
        model = self.model.module if is_model_wrapper(self.model) else self.model
        self.logger.info(f"load_from: {start_from(model, self._load_from)}")
        # Hooks such as EMAHook copy the loaded weights from this call.
        self.call_hook("after_load_checkpoint", checkpoint={"state_dict": model.state_dict()})
        self._has_loaded: bool = True

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes. MMEngine would assign a GPU to each process even if there is none."""
        if model_wrapper_cfg is None and self.distributed and get_device() == "cpu":
            model_wrapper_cfg = {
                "type": "MMDistributedDataParallel",
                "device_ids": None,
                "broadcast_buffers": False,
                "find_unused_parameters": self.cfg.get("find_unused_parameters", False),
            }
        return super().wrap_model(model_wrapper_cfg, model)


class CheckedFlexibleRunner(_CheckedLoading, FlexibleRunner):
    """MMEngine's ``FlexibleRunner``, which supports strategies, with checked loading."""

    def load_or_resume(self) -> None:
        """Load or resume as MMEngine does. A fully sharded strategy has already loaded ``load_from`` before sharding."""
        if self._resume or not isinstance(self.strategy, FullyShardedStrategy):
            super().load_or_resume()

    def train(self) -> nn.Module:
        """Train."""
        if isinstance(self.strategy, FullyShardedStrategy) and not self._resume:
            self.strategy.start = self._load_from
        return super().train()
