import sys

import cv2
import matplotlib
import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.visualization.curves import draw_curve, read_scalars
from mmbeit3.visualization.plots import figure_to_image, new_figure, save_figure


def test_file_and_image_are_the_same(tmp_path):
    backend = matplotlib.get_backend()
    figure = new_figure(2, 1.5, dpi=60)
    figure.subplots().plot([0, 1], [1, 0], color="red")
    image = figure_to_image(figure)
    assert image.shape == (90, 120, 3)
    save_figure(figure, tmp_path / "new" / "plot.png")
    # OpenCV reads BGR.
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "plot.png"))[..., ::-1], image)
    red = (image[..., 0] > 200) & (image[..., 1:].max(-1) < 100)
    assert red.any()
    assert matplotlib.get_backend() == backend


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match="plots need matplotlib: pip install matplotlib"):
        new_figure(1, 1)


def test_curve(tmp_path):
    log = tmp_path / "20250101" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.0, "step": 1}\n{"mIoU": 3.0, "step": 1}\n\n{"loss": 1.0, "step": 2}\n')
    scalars = read_scalars(tmp_path)
    assert len(scalars) == 3
    image = draw_curve(scalars)
    assert image.shape == (390, 1170, 3)
    assert image.dtype == np.uint8
    assert not np.array_equal(image, draw_curve(scalars[:2]))
    with pytest.raises(UserError, match="no training log"):
        read_scalars(tmp_path / "20250101")


def test_log_of_a_resumed_training(tmp_path):
    logs = {
        "1": '{"loss": 9.0, "step": 10}\n{"loss": 8.0, "step": 20}',  # replaced by a training that began anew
        "2": '{"loss": 3.0, "step": 10}\n{"mIoU": 0.1, "step": 1}\n{"loss": 2.5, "step": 20}\n{"loss": 2.2, "step": 30}',
        "3": '{"loss": 2.0, "step": 20}\n{"mIoU": 0.2, "step": 2}',
        "4": "",  # stopped before its first line
    }
    for name, text in logs.items():
        (tmp_path / name / "vis_data").mkdir(parents=True)
        (tmp_path / name / "vis_data" / "scalars.json").write_text(text)
    assert read_scalars(tmp_path) == [
        {"loss": 3.0, "step": 10},
        {"mIoU": 0.1, "step": 1},
        {"loss": 2.0, "step": 20},
        {"mIoU": 0.2, "step": 2},
    ]
