"""A vocabulary and some images, made once."""

import cv2
import numpy as np
import pytest

from tests.datasets import made

COLOURS = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (40, 200, 200)]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    pytest.importorskip("sentencepiece")
    return made.tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Five PNG files of 24 x 40 pixels, each half a colour of its own and half noise of squares."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(3)
    for number, colour in enumerate(COLOURS):
        pixels = random.integers(0, 256, (3, 5, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        pixels[:, :20] = colour
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return sorted(folder.iterdir())
