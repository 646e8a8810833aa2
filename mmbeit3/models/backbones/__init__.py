"""Backbones for dense prediction: plain ViTs, and ViT-Adapter around them."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
from mmbeit3.models.backbones.beit3_vision import BEiT3Vision
from mmbeit3.models.backbones.plain_vit import PlainViT
from mmbeit3.models.backbones.timm_vit import TimmViT
from mmbeit3.models.backbones.vit_adapter import ViTAdapter

__all__ = ["BEiT3Vision", "PlainViT", "TimmViT", "ViTAdapter"]
