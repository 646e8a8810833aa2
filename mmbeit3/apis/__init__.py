"""Training, testing and inference from Python. What needs OpenMMLab is imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmbeit3.extras import require

if TYPE_CHECKING:
    from mmbeit3.apis.inference import draw_prediction, load_model
    from mmbeit3.apis.inferencers import (
        CaptionInferencer,
        ClassificationInferencer,
        NLVRInferencer,
        RetrievalInferencer,
        VQAInferencer,
    )

__all__ = [
    "CaptionInferencer",
    "ClassificationInferencer",
    "NLVRInferencer",
    "RetrievalInferencer",
    "VQAInferencer",
    "draw_prediction",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    require("mmengine", "mmcv")
    home = "inferencers" if name.endswith("Inferencer") else "inference"
    return getattr(import_module(f"{__name__}.{home}"), name)
