"""BEiT v2's VQ-KD image tokenizer: a ViT whose patch features are quantised to a codebook (arXiv 2208.06366)."""

from mmbeit3.pretrain.image_tokenizers.from_vit import copy_vit, start_projection
from mmbeit3.pretrain.image_tokenizers.loading import HEAD_DIMS, load_vqkd, read_vqkd_state
from mmbeit3.pretrain.image_tokenizers.quantizer import Codebook, Quantizer
from mmbeit3.pretrain.image_tokenizers.vit import TokenizerViT
from mmbeit3.pretrain.image_tokenizers.vqkd import VQKD, build_vqkd, codes_for_grid

__all__ = [
    "HEAD_DIMS",
    "VQKD",
    "Codebook",
    "Quantizer",
    "TokenizerViT",
    "build_vqkd",
    "codes_for_grid",
    "copy_vit",
    "load_vqkd",
    "read_vqkd_state",
    "start_projection",
]
