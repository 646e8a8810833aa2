"""Safe reading of checkpoints, translation between key layouts, and loading into models of other sizes."""

from mmbeit3.checkpoint.converting import Conversion, convert
from mmbeit3.checkpoint.folder import read_folder, write_folder
from mmbeit3.checkpoint.layouts import LAYOUTS, Layout, detect_layout
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.loading import LoadReport, check_same_model, load_checkpoint
from mmbeit3.checkpoint.reading import read_classes, read_lazily, read_notes, read_state_dict, read_training
from mmbeit3.checkpoint.rules import Rule
from mmbeit3.checkpoint.starting import start_from
from mmbeit3.checkpoint.translating import Translated, Translates
from mmbeit3.checkpoint.writing import write_checkpoint, write_safetensors

__all__ = [
    "LAYOUTS",
    "Conversion",
    "Layout",
    "LazyTensor",
    "LoadReport",
    "Rule",
    "Translated",
    "Translates",
    "check_same_model",
    "convert",
    "detect_layout",
    "load_checkpoint",
    "read_classes",
    "read_folder",
    "read_lazily",
    "read_notes",
    "read_state_dict",
    "read_training",
    "start_from",
    "write_checkpoint",
    "write_folder",
    "write_safetensors",
]
