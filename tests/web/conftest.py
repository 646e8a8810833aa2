"""The fixtures of the inferencers' tests."""

from tests.inference.conftest import images, tokenizer

__all__ = ["images", "tokenizer"]
