"""Load checkpoints for ``init_cfg=dict(type='Pretrained', checkpoint=...)``."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.model import BaseModule

from mmbeit3.checkpoint import load_checkpoint

__all__ = ["init_pretrained"]


def init_pretrained(module: BaseModule) -> None:
    """Load the checkpoint of ``module.init_cfg`` and log a one-line report.

    MMEngine's own loader is not used. If a safe read fails, it retries with full unpickling, which runs code from the file. It
    also does not convert the official key layout or resize positions.

    Args:
        module: module with an ``init_cfg``. Types other than ``'Pretrained'`` are left to MMEngine. ``init_cfg`` may have
            ``grid=(h, w)``, the grid of the checkpoint's position table.

    Raises:
        mmbeit3.errors.UserError: if the checkpoint does not fit this module or cannot be read.
    """
    cfg = module.init_cfg
    if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
        if not module.is_init:
            report = load_checkpoint(module, cfg["checkpoint"], grid=cfg.get("grid"))
            print_log(str(report), logger="current")
        module.is_init = True
    else:
        BaseModule.init_weights(module)
