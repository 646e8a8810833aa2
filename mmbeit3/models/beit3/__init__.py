"""The BEiT-3 network in plain PyTorch: towers with joint attention. Does not import OpenMMLab."""

from mmbeit3.models.beit3.arch import ARCHS, Arch, get_arch
from mmbeit3.models.beit3.dual_encoder import DualEncoder
from mmbeit3.models.beit3.embedding import UNUSED_POSITIONS, TextEmbedding, VisionEmbedding
from mmbeit3.models.beit3.expert import AttentionProjections, Expert, FeedForward
from mmbeit3.models.beit3.gathered_windows import GatheredWindows
from mmbeit3.models.beit3.incremental import IncrementalEncoder
from mmbeit3.models.beit3.init import init_beit3, truncated_normal_
from mmbeit3.models.beit3.layer import Segment, joint_attention, run_layer
from mmbeit3.models.beit3.model import BEiT3, BEiT3Output, EmbeddedInputs
from mmbeit3.models.beit3.pretrained import from_pretrained, save_pretrained
from mmbeit3.models.beit3.sharding import sharding_units
from mmbeit3.models.beit3.streams import Stream, run_streams
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.models.beit3.windows import WindowOrder

__all__ = [
    "ARCHS",
    "UNUSED_POSITIONS",
    "Arch",
    "AttentionProjections",
    "BEiT3",
    "BEiT3Output",
    "DualEncoder",
    "EmbeddedInputs",
    "Expert",
    "FeedForward",
    "GatheredWindows",
    "IncrementalEncoder",
    "Segment",
    "Stream",
    "TextEmbedding",
    "Tower",
    "VisionEmbedding",
    "WindowOrder",
    "from_pretrained",
    "get_arch",
    "init_beit3",
    "joint_attention",
    "run_layer",
    "run_streams",
    "save_pretrained",
    "sharding_units",
    "truncated_normal_",
]
