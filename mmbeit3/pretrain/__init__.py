"""Pretraining by masked data modeling on images, texts and pairs."""

from mmbeit3.pretrain.masking import mask_blocks, mask_tokens
from mmbeit3.pretrain.model import MaskedBatch, MaskedDataModeling

__all__ = ["MaskedBatch", "MaskedDataModeling", "mask_blocks", "mask_tokens"]
