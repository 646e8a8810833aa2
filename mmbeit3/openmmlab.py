"""Prepare OpenMMLab's packages: check that they are installed, and supply the ops that mmcv lacks.

The original packages and the maintained forks (``onedl-*``) have the same import names, so both work.
"""

from __future__ import annotations

import importlib
import logging
import sys

from mmbeit3.autoload import install, serves_extension
from mmbeit3.extras import require
from mmbeit3.import_hooks import after_import
from mmbeit3.optional import guard_imports
from mmbeit3.versions import MMCV_EXTENSION

__all__ = ["prepare", "provide_ops"]

_MASK2FORMER = "mmseg.models.decode_heads.mask2former_head"

_prepared = False


def prepare() -> None:
    """Supply replacements for missing mmcv ops, log once which ops are in use, and make MMEngine load checkpoints safely.

    Must run before anything of ``mmdet.models`` is imported. :mod:`mmbeit3.registry` calls it. It imports neither mmcv's ops
    nor MMEngine's runner, which takes seconds: it changes them when they are imported.

    Raises:
        ImportError: if MMEngine or mmcv is missing, if mmcv's compiled module cannot be loaded, or if mmseg's Mask2Former head
            was imported too early and is only a stub.
    """
    global _prepared
    require("mmengine", "mmcv")
    replaced = provide_ops()
    _refuse_stub()
    if _prepared:
        return
    _prepared = True
    after_import("mmcv.ops.multi_scale_deform_attn", _replace_fallback)
    after_import("mmengine.runner.checkpoint", _guard_loading)
    guard_imports()
    from mmengine.logging import print_log

    in_use = "mmbeit3's replacements (mmcv has no compiled ops)" if replaced else "compiled by mmcv"
    print_log(f"mmcv ops in use: {in_use}", logger="current", level=logging.INFO)


def provide_ops() -> bool:
    """Supply replacements for mmcv's compiled ops if they are missing. Repeated calls have no effect.

    Returns:
        True if the replacements are in use, False if mmcv's compiled ops are.

    Raises:
        ImportError: if the compiled module exists but cannot be loaded, which happens after an upgrade of torch.
    """
    install(force=True)
    if serves_extension():
        return True
    # The compiled module needs libraries that torch loads.
    importlib.import_module("torch")
    try:
        importlib.import_module(MMCV_EXTENSION)
    except ImportError as error:
        raise ImportError(
            f"mmcv's compiled module is installed but cannot be loaded ({error}): it was built for another torch. "
            "Build mmcv again, or remove the file to use mmbeit3's replacements"
        ) from error
    return False


def _replace_fallback() -> None:
    from mmbeit3.ops.mmcv_ext.deform_attn import replace_fallback

    replace_fallback()


def _guard_loading() -> None:
    from mmbeit3.checkpoint.guard import guard_loading

    guard_loading()


def _refuse_stub() -> None:
    """Raise if mmseg could not import mmdet: it then silently uses a BaseModule as Mask2Former's head."""
    module = sys.modules.get(_MASK2FORMER)
    if module is None:
        return
    from mmengine.model import BaseModule

    if getattr(module, "MMDET_Mask2FormerHead", None) is BaseModule:
        require("mmdet")
        raise ImportError(
            "mmseg's Mask2FormerHead is a stub, because mmseg.models was imported before mmcv's ops were available: "
            "import mmbeit3.registry first (in a config: first in custom_imports)"
        )
