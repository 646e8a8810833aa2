"""The picture of the demo's models, with given comparisons."""

from types import SimpleNamespace

import numpy as np
from mmengine.config import Config

from mmbeit3.demos import pictures
from mmbeit3.demos.pictures import draw_models

REDS = (70, 80, 90)
"""Red of the image, the ground truth and the prediction that stand for pictures; text is grey."""


def test_titles_columns_and_one_legend(monkeypatch):
    classes = {"detector": ("cat", "dog"), "segmentor": ("grass", "cat")}
    colours = {"detector": [(250, 10, 10), (10, 250, 10)], "segmentor": [(10, 10, 250), (250, 10, 10)]}
    asked = []

    def load(config):
        cfg = Config({"test_dataloader": {"dataset": {}}})
        return SimpleNamespace(model=config, cfg=cfg, classes=classes[config], colours=np.array(colours[config], np.uint8))

    def compare(model, cfg, images, legend, min_side):
        asked.append((model, images, legend))
        for _ in images:
            yield tuple(np.full((256, 200, 3), (red, 0, 1), np.uint8) for red in REDS)

    monkeypatch.setattr(pictures, "compare_with_truth", compare)
    picture = draw_models({"objects": load("detector"), "regions": load("segmentor")}, (2, 6))
    assert asked == [("detector", (2, 6), False), ("segmentor", (2, 6), False)]
    for column, red in enumerate(REDS):
        inside = (picture == (red, 0, 1)).all(2)
        assert inside[:, 208 * column + 8 : 208 * column + 208].sum() == 4 * 256 * 200
    # Each class is in the legend once, also if both models know it.
    swatches = [np.nonzero((picture == colour).all(2)) for colour in ((250, 10, 10), (10, 250, 10), (10, 10, 250))]
    sizes = {len(rows) for rows, _ in swatches}
    assert len(sizes) == 1
    assert all(rows.min() > 4 * 256 for rows, _ in swatches)
