"""How ``init_cfg=dict(type='Pretrained', checkpoint=...)`` is carried out."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.model import BaseModule

from mmbeit3.checkpoint import load_checkpoint

__all__ = ["init_pretrained"]


def init_pretrained(module: BaseModule) -> None:
    """Load the checkpoint that ``module.init_cfg`` names and log in one line what came of it.

    MMEngine's own loader is not used: where a safe read fails it retries with full unpickling, which runs code, and it
    knows neither the official key layout nor how to resize.

    Args:
        module: module with an ``init_cfg``; other types than ``'Pretrained'`` are left to MMEngine. Besides ``checkpoint`` it
            may have ``grid=(h, w)``, of the checkpoint's position table.

    Raises:
        mmbeit3.errors.UserError: if the checkpoint cannot be used for this module.
    """
    cfg = module.init_cfg
    if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
        if not module.is_init:
            report = load_checkpoint(module, cfg["checkpoint"], grid=cfg.get("grid"))
            print_log(str(report), logger="current")
        module.is_init = True
    else:
        BaseModule.init_weights(module)
