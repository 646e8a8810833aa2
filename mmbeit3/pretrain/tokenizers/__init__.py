"""Tokenizers: what turns images into the discrete targets of pretraining."""

from mmbeit3.pretrain.tokenizers.image import VQKD, codes_for_grid, load_vqkd

__all__ = ["VQKD", "codes_for_grid", "load_vqkd"]
