"""Training, testing and inference from Python. The inferencers are imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbeit3.apis.inferencers import (
        CaptionInferencer,
        ClassificationInferencer,
        NLVRInferencer,
        RetrievalInferencer,
        VQAInferencer,
    )

__all__ = ["CaptionInferencer", "ClassificationInferencer", "NLVRInferencer", "RetrievalInferencer", "VQAInferencer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("mmbeit3.apis.inferencers"), name)
