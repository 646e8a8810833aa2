"""Load checkpoints for ``init_cfg=dict(type='Pretrained', checkpoint=...)``."""

from __future__ import annotations

from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule, initialize

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError

__all__ = ["init_pretrained", "names_checkpoint"]

_PRETRAINED = "Pretrained"


def names_checkpoint(init_cfg: Any) -> bool:
    """Return True if an ``init_cfg``, a dict or a list of dicts, loads a checkpoint."""
    entries = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    return any(isinstance(entry, dict) and entry.get("type") == _PRETRAINED for entry in entries)


def init_pretrained(module: BaseModule) -> None:
    """Load the checkpoint of ``module.init_cfg`` and log a one-line report.

    MMEngine's own loader is not used. If a safe read fails, it retries with full unpickling, which runs code from the file. It
    also does not convert the official key layout or resize positions.

    The module's children are not initialized again, as MMEngine would do: their constructors have set the initial weights, and
    timm's networks would replace those of ``pretrained=True`` by random ones.

    Args:
        module: module with an ``init_cfg``. Types other than ``'Pretrained'`` are left to MMEngine. ``init_cfg`` may have
            ``grid=(h, w)``, the grid of the checkpoint's position table.

    Raises:
        mmbeit3.errors.UserError: if the checkpoint does not fit this module or cannot be read, or if ``init_cfg`` is a list of
            several entries, one of them ``'Pretrained'``.
    """
    cfg = module.init_cfg
    if isinstance(cfg, list | tuple) and len(cfg) == 1:
        cfg = cfg[0]
    if isinstance(cfg, list | tuple) and names_checkpoint(cfg):
        raise UserError(
            f"init_cfg of {type(module).__name__} has {len(cfg)} entries, one of them 'Pretrained': a checkpoint sets all "
            "weights, so give it alone, as init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    if module.is_init:
        return
    if names_checkpoint(cfg):
        report = load_checkpoint(module, cfg["checkpoint"], grid=cfg.get("grid"))
        print_log(str(report), logger="current")
    elif cfg:
        initialize(module, cfg)
    module.is_init = True
