"""Heads of mmdet's and mmseg's models whose training seldom waits for the GPU.

The classes inherit from those of mmdet and mmseg. These libraries are imported when a head is built, because other models of
mmbeit3 do not need them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mmbeit3.extras import require
from mmbeit3.registry import MODELS, TASK_UTILS

__all__ = ["CLASSES"]

CLASSES = {
    "mask2former": ["Mask2FormerHead"],
    "seg_mask2former": ["SegMask2FormerHead"],
    "pixel_decoder": ["MSDeformAttnPixelDecoder"],
    "rpn": ["RPNHead"],
    "roi": ["FCNMaskHead", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead", "SingleRoIExtractor"],
    "assigning": ["BboxOverlaps2D", "DeltaXYWHBBoxCoder", "MaxIoUAssigner", "RandomSampler"],
}
"""Registered classes of each module of this package."""


def _builder(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports a class and builds an instance."""

    def build(*args: Any, **kwargs: Any) -> Any:
        require("mmdet", *(["mmseg"] if module == "seg_mask2former" else []))
        return getattr(import_module(f"{__name__}.{module}"), name)(*args, **kwargs)

    return build


for _module, _names in CLASSES.items():
    for _name in _names:
        _registry = TASK_UTILS if _module == "assigning" else MODELS
        _registry.register_module(_name, module=_builder(_module, _name))
