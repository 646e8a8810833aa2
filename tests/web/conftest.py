"""Fixtures of the inferencer tests."""

from tests.inference.conftest import images, tokenizer

__all__ = ["images", "tokenizer"]
