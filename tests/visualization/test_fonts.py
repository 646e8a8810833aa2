"""Names of classes in pictures, with letters of any script."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.ft2font import FT2Font
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmbeit3.inference.dense import build_visualizer, draw_prediction
from mmbeit3.visualization.fonts import _DEFAULT, _family, find_font, names_for_matplotlib, names_for_opencv
from tests.paths import ROOT

UNKNOWN = chr(0x10FFFD)
"""A letter that no font has."""


@pytest.fixture(autouse=True)
def _settings():
    with matplotlib.rc_context():
        yield


def test_dollars_and_unknown_letters():
    names = ["cat", "US$ and A$", "naïve", f"no {UNKNOWN}"]
    assert names_for_matplotlib(names) == ["cat", r"US\$ and A\$", "naïve", "#3"]
    assert names_for_opencv(names) == ["cat", "US$ and A$", "#2", "#3"]


def test_a_font_that_has_the_letters_is_used():
    own = set(FT2Font(str(_DEFAULT)).get_charmap())
    other = _DEFAULT.with_name("STIXGeneral.ttf")
    letter = chr(min(code for code in FT2Font(str(other)).get_charmap() if code not in own and code > 0x2000))
    assert find_font(f"a{letter}") is not None
    assert names_for_matplotlib(["a", letter]) == ["a", letter]
    added = matplotlib.rcParams["font.sans-serif"][1]
    assert added == _family(find_font(letter))
    assert find_font(UNKNOWN) is None


def test_formulas_are_drawn_as_they_stand():
    """matplotlib would read text between dollars as a formula, and raise an error if it is not one."""
    visualizer = DetLocalVisualizer()
    instances = InstanceData(bboxes=torch.tensor([[5.0, 5, 60, 40]]), labels=torch.tensor([0]), scores=torch.tensor([0.9]))
    image = np.full((80, 160, 3), 200, np.uint8)
    names = names_for_matplotlib([r"$\frac{$ and $x"])
    drawn = visualizer._draw_instances(image, instances, names, [(255, 0, 0)])
    assert drawn.shape == image.shape


def test_segmentation_without_a_palette(tmp_path):
    """mmseg chooses colours if the config has no palette."""
    init_default_scope("mmseg")
    cfg = Config.fromfile(ROOT / "configs" / "shapes" / "beit3-adapter-t_mask2former_shapes.py")
    classes = (*cfg.metainfo.classes[:-1], "猫")
    dataset = cfg.test_dataloader.dataset
    dataset.metainfo = {"classes": classes}
    visualizer = build_visualizer(cfg, dataset)
    assert visualizer.dataset_meta["classes"][-2:] == (classes[-2], "#8")
    assert len(visualizer.dataset_meta["palette"]) == len(classes)
    model = MODELS.build(cfg.model).eval()
    from PIL import Image

    Image.fromarray(np.full((40, 70, 3), 120, np.uint8)).save(tmp_path / "image.png")
    draw_prediction(model, cfg, tmp_path / "image.png", tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").size == (70, 40)
