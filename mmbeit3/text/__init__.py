"""The text tokenizer, and functions for captions, answers and class names. Does not import OpenMMLab packages."""

from mmbeit3.text.tokenizer import TextTokenizer, train_text_tokenizer

__all__ = ["TextTokenizer", "train_text_tokenizer"]
