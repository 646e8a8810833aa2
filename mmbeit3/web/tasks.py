"""Tasks of the demo page as plain data, so that ``tools/demo_app.py --help`` imports neither PyTorch nor Gradio."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MODEL", "TASKS"]

MODEL = "MODEL [CHECKPOINT]"
"""Arguments of a tab, those of :func:`~mmbeit3.inference.load_model`. A config file needs the checkpoint."""

TASKS: Mapping[str, str] = {
    "detection": MODEL,
    "segmentation": MODEL,
    "vqa": MODEL,
    "caption": MODEL,
    "retrieval": f"{MODEL} FOLDER",
    "nlvr2": MODEL,
    "classify": MODEL,
}
"""Arguments of each task's tab. FOLDER has the images to search."""
