"""Backbones as files that run without this package: ONNX, and programs of ``torch.export``."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.export.backbone import build_backbone
from mmbeit3.export.export import FORMATS, Exported, export_backbone
from mmbeit3.export.program import least_side, trace
from mmbeit3.export.verify import TOLERANCE, Difference, compare

__all__ = [
    "FORMATS",
    "TOLERANCE",
    "Difference",
    "Exported",
    "build_backbone",
    "compare",
    "export_backbone",
    "least_side",
    "trace",
]
