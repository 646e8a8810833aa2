"""Export of backbones and task models to files that run without this package: ONNX, and programs of ``torch.export``."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
from mmbeit3.export.backbone import build_backbone
from mmbeit3.export.export import FORMATS, Exported, export_backbone, export_task
from mmbeit3.export.graphs import TaskGraph, task_graphs
from mmbeit3.export.program import least_side, trace, trace_task
from mmbeit3.export.task import build_task
from mmbeit3.export.verify import TOLERANCE, Difference, compare_backbone_outputs, compare_task_outputs

__all__ = [
    "FORMATS",
    "TOLERANCE",
    "Difference",
    "Exported",
    "TaskGraph",
    "build_backbone",
    "build_task",
    "compare_backbone_outputs",
    "compare_task_outputs",
    "export_backbone",
    "export_task",
    "least_side",
    "task_graphs",
    "trace",
    "trace_task",
]
