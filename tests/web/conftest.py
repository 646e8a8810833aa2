"""A tab for each task, with the fixtures of the inferencer tests."""

import pytest

from mmbeit3.web.tabs import TABS
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
    return {task: make(*arguments[task]) for task, (make, _) in TABS.items()}
