"""The error page of a detector and of a segmentor, on small data."""

import re
import runpy
import sys

import pytest

from mmbeit3.datasets.shapes import make_shapes_dataset
from tests.evaluation.published.made import OPTIONS, SEGMENTOR, make_weights
from tests.paths import ROOT

DETECTOR = ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py"


@pytest.fixture
def report(monkeypatch, tmp_path, capsys):
    """Call the tool; return the page without its pictures, and their number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    make_shapes_dataset("data/shapes", train=1, val=3, size=64)

    def calling(config, *options):
        weights = make_weights(config, tmp_path / "weights.pth")
        arguments = [config, weights, "--out", "out", "--images", 1, "--cfg-options", *OPTIONS, *options]
        monkeypatch.setattr(sys, "argv", ["errors.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "tools" / "analyze_errors.py"), run_name="__main__")
        # MMEngine's log is in a file.
        printed = capsys.readouterr().out
        assert "test data    3 images" in printed
        assert "INFO" not in printed
        page, pictures = re.subn(r'src="data:[^"]*"', "", (tmp_path / "out" / "report.html").read_text())
        return page, pictures

    return calling


def test_detector(report, tmp_path):
    # An untrained model has low scores, so the threshold is 0.
    page, pictures = report(DETECTOR, "model.test_cfg.rcnn.score_thr=0.0", "model.test_cfg.rcnn.max_per_img=20")
    # The worst and the best of three: image, truth and prediction.
    assert pictures == 6
    for title in (
        "precision of boxes",
        "Errors of boxes",
        "precision of masks",
        "Errors of masks",
        "Worst",
        "Best",
    ):
        assert title in page
    assert "<td>circle</td>" in page
    counts = [int(count) for count in re.findall(r"<tr><td>(?:localisation|background|both|missed)</td><td>(\d+)</td>", page)]
    assert len(counts) == 8
    assert sum(counts[:3]) > 0
    assert (tmp_path / "out" / "detections.segm.json").is_file()


def test_segmentor(report):
    page, pictures = report(SEGMENTOR)
    assert pictures == 6
    assert "<td>mIoU</td>" in page
    # Nine classes with numbers, and pairs of confused classes.
    assert len(re.findall(r"<tr><td>\w+</td><td>[\d.]*</td><td>[\d.]*</td><td>[\d.]+</td></tr>", page)) == 9
    assert re.search(r"<tr><td>\w+</td><td>\w+</td><td>[\d.]+</td></tr>", page)


def test_config_without_such_a_metric(report, capsys):
    with pytest.raises(SystemExit) as end:
        report(SEGMENTOR, "test_evaluator.type=mmbeit3.LabelAccuracy")
    assert end.value.code == 2
    assert "neither CocoMetric nor IoUMetric" in capsys.readouterr().err
