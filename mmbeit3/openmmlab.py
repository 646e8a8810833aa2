"""Making OpenMMLab ready: what is installed, and whether its compiled operators are there.

The original packages and the maintained forks (``onedl-*``) share their import names, so only these are looked at.
"""

from __future__ import annotations

import logging
import sys

from mmbeit3.checkpoint.guard import guard_loading
from mmbeit3.extras import require
from mmbeit3.ops import mmcv_ext
from mmbeit3.ops.mmcv_ext.deform_attn import replace_fallback
from mmbeit3.optional import guard_imports

__all__ = ["prepare"]

_MASK2FORMER = "mmseg.models.decode_heads.mask2former_head"

_prepared = False


def prepare() -> None:
    """Provide mmcv's operators where the compiled ones are missing, log once which are in use, and make loading safe.

    Must run before anything of ``mmdet.models`` is imported; :mod:`mmbeit3.registry` calls it.

    Raises:
        ImportError: if MMEngine or mmcv are missing, if mmcv's compiled module is broken, or if mmseg's Mask2Former head was
            imported too early and has silently become a stub.
    """
    global _prepared
    require("mmengine", "mmcv")
    stand_in = mmcv_ext.provide()
    _refuse_stub()
    if _prepared:
        return
    _prepared = True
    replace_fallback()
    guard_loading()
    guard_imports()
    from mmengine.logging import print_log

    in_use = "mmbeit3's stand-in (no compiled mmcv found)" if stand_in else "compiled mmcv"
    print_log(f"mmcv operators in use: {in_use}", logger="current", level=logging.INFO)


def _refuse_stub() -> None:
    """mmseg swallows a failed import of mmdet and puts a plain BaseModule where Mask2Former's head should be."""
    module = sys.modules.get(_MASK2FORMER)
    if module is None:
        return
    from mmengine.model import BaseModule

    if getattr(module, "MMDET_Mask2FormerHead", None) is BaseModule:
        require("mmdet")
        raise ImportError(
            "mmseg's Mask2FormerHead is a stub, because mmseg.models was imported before mmcv's operators were there: "
            "import mmbeit3.registry first (in a config: first in custom_imports)"
        )
