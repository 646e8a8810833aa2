"""A vocabulary, some images, and small models of the tasks, each created once."""

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
    """Five PNG files of 24 x 40 pixels: one half has a colour that differs per file, the other half random squares."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(3)
    for number, colour in enumerate(COLOURS):
        pixels = random.integers(0, 256, (3, 5, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        pixels[:, :20] = colour
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def trained(tokenizer, tmp_path_factory):
    """Return a function from a task to its config and checkpoint."""
    from tests.inference.made import checkpoint, config
    from tests.inference.tasks import MODELS

    folder, built = tmp_path_factory.mktemp("trained"), {}

    def get(task):
        if task not in built:
            model, key, count = MODELS[task]
            if task in ("captioning", "named"):
                model = {**model, "tokenizer": tokenizer}
            cfg = config(model, tokenizer, key, count)
            built[task] = cfg, checkpoint(cfg, folder / f"{task}.pth")
        return built[task]

    return get


@pytest.fixture(scope="session")
def build(trained):
    """Return a function from a task to its inferencer."""
    from tests.inference.tasks import CLASSES

    return lambda task, **kwargs: CLASSES[task](*trained(task), "cpu", show_progress=False, **kwargs)
