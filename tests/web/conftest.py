"""A tab for each task, with the fixtures of the inferencer tests."""

import cv2
import numpy as np
import pytest

from tests.inference.conftest import images, tokenizer
from tests.web.demo import make_arguments

__all__ = ["images", "tokenizer"]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tokenizer, images):
    for package in ("mmpretrain", "mmdet", "mmseg"):
        pytest.importorskip(package)
    return make_arguments(tmp_path_factory.mktemp("demo"), tokenizer, images)


@pytest.fixture(scope="module")
def tabs(arguments):
    from mmbeit3.web.tabs import TABS

    return {task: make(*arguments[task], device="cpu") for task, make in TABS.items()}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Path of an image file of 96 x 128 pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1))
    return str(path)
