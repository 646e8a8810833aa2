"""Tokenizers: what turns images and texts into the discrete targets of pretraining."""

from mmbeit3.pretrain.tokenizers.image import VQKD, build_vqkd, codes_for_grid, load_vqkd, read_vqkd_state
from mmbeit3.pretrain.tokenizers.text import TextTokenizer, train_text_tokenizer

__all__ = ["VQKD", "TextTokenizer", "build_vqkd", "codes_for_grid", "load_vqkd", "read_vqkd_state", "train_text_tokenizer"]
