"""Reading checkpoints safely, translating between key layouts, and fitting them to a model's sizes."""

from mmbeit3.checkpoint.layouts import LAYOUTS, Layout, Rule, detect_layout
from mmbeit3.checkpoint.loading import LoadReport, load_checkpoint, load_weights
from mmbeit3.checkpoint.reading import read_state_dict

__all__ = ["LAYOUTS", "Layout", "LoadReport", "Rule", "detect_layout", "load_checkpoint", "load_weights", "read_state_dict"]
