"""Predictions in Python: :func:`load_model` for detectors and segmentors, and one inferencer class for each other task.

OpenMMLab packages are imported when a name is first used. So the import of this package is fast and needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmbeit3.extras import require

if TYPE_CHECKING:
    from mmbeit3.inference.areas import Regions, Segments
    from mmbeit3.inference.base import TaskInferencer
    from mmbeit3.inference.captioning import CaptionInferencer
    from mmbeit3.inference.classification import ClassificationInferencer
    from mmbeit3.inference.index import ImageIndex
    from mmbeit3.inference.loading import load_model
    from mmbeit3.inference.nlvr2 import NLVR2Inferencer
    from mmbeit3.inference.predictor import Predictor
    from mmbeit3.inference.results import Objects, Result
    from mmbeit3.inference.retrieval import RetrievalInferencer
    from mmbeit3.inference.vqa import VQAInferencer

_MODULES = {
    "CaptionInferencer": "captioning",
    "ClassificationInferencer": "classification",
    "ImageIndex": "index",
    "NLVR2Inferencer": "nlvr2",
    "RetrievalInferencer": "retrieval",
    "TaskInferencer": "base",
    "VQAInferencer": "vqa",
    "Objects": "results",
    "Predictor": "predictor",
    "Regions": "areas",
    "Result": "results",
    "Segments": "areas",
    "load_model": "loading",
}

__all__ = [
    "CaptionInferencer",
    "ClassificationInferencer",
    "ImageIndex",
    "NLVR2Inferencer",
    "Objects",
    "Predictor",
    "Regions",
    "Result",
    "RetrievalInferencer",
    "Segments",
    "TaskInferencer",
    "VQAInferencer",
    "load_model",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    require("mmengine", "mmcv")
    import_module("mmbeit3.registry")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
