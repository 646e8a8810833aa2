"""One picture of trained models: held-out images, ground truth and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmbeit3.inference.comparison import compare_with_truth
from mmbeit3.inference.predictor import Predictor
from mmbeit3.visualization.canvas import text_height
from mmbeit3.visualization.drawing import with_titles
from mmbeit3.visualization.text import LegendEntry, append_legend

__all__ = ["draw_models"]

_MIN_SIDE = 256
"""Smallest side of one image: three of them are as wide as a page of the documentation."""


def draw_models(models: Mapping[str, Predictor], images: int | Sequence[int]) -> np.ndarray:
    """Draw the predictions of models beside the images and the ground truth, one block of three columns per model.

    Args:
        models: name of what a model finds, such as ``"objects"``, to the model.
        images: indices of the images in the test data, or the number of the first images, at most as many as there are.

    Returns:
        uint8 (H, W, 3), RGB, with titles above the columns and a legend of all classes.

    Raises:
        UserError: if an index is not that of an image.
    """
    blocks = []
    colours: dict[str, np.ndarray] = {}
    for name, predictor in models.items():
        rows = list(compare_with_truth(predictor.model, predictor.cfg, images, legend=False, min_side=_MIN_SIDE))
        titles = ("image", f"{name}: ground truth", f"{name}: prediction")
        blocks.append(with_titles(list(zip(*rows, strict=True)), titles))
        # The models share their colours, so each class is in the legend once.
        colours |= dict(zip(predictor.classes, predictor.colours, strict=True))
    picture = np.concatenate(blocks)
    return append_legend(picture, [LegendEntry(name, "", colour) for name, colour in colours.items()], text_height(blocks[0]))
