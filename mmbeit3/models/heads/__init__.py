"""Heads of mmdet's and mmseg's models whose training seldom waits for the GPU.

The classes inherit from those of mmdet and mmseg. These libraries are imported when a head is built, because other models of
mmbeit3 do not need them.
"""

from typing import Any

from mmbeit3.extras import require
from mmbeit3.registry import MODELS

__all__: list[str] = []


@MODELS.register_module("Mask2FormerHead")
def _mask2former_head(*args: Any, **kwargs: Any) -> Any:
    require("mmdet")
    from mmbeit3.models.heads.mask2former import Mask2FormerHead

    return Mask2FormerHead(*args, **kwargs)


@MODELS.register_module("SegMask2FormerHead")
def _seg_mask2former_head(*args: Any, **kwargs: Any) -> Any:
    require("mmdet", "mmseg")
    from mmbeit3.models.heads.seg_mask2former import SegMask2FormerHead

    return SegMask2FormerHead(*args, **kwargs)


@MODELS.register_module("MSDeformAttnPixelDecoder")
def _pixel_decoder(*args: Any, **kwargs: Any) -> Any:
    require("mmdet")
    from mmbeit3.models.heads.pixel_decoder import MSDeformAttnPixelDecoder

    return MSDeformAttnPixelDecoder(*args, **kwargs)
