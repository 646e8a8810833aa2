"""The text tokenizer, and the functions that normalise words, class names and answers. Imports nothing of OpenMMLab."""

from mmbeit3.text.tokenizer import TextTokenizer, train_text_tokenizer

__all__ = ["TextTokenizer", "train_text_tokenizer"]
