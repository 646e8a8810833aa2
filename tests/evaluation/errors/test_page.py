"""The error page of a detector and of a segmentor, on small data."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.evaluation.errors import page, predictions
from mmbeit3.evaluation.errors.page import report_errors
from mmbeit3.runner.config import read_config
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


def test_perfect_detections_of_a_subset(monkeypatch, tmp_path):
    """The classes of the dataset are two of the file's six, and its images two of three."""
    (tmp_path / "data").mkdir()
    make_shapes_dataset(tmp_path / "data" / "shapes", train=1, val=3, size=64)
    monkeypatch.chdir(tmp_path)
    cfg = read_config(DETECTOR, {"test_dataloader.dataset.indices": [2, 0], "test_evaluator.metric": "bbox"})
    content = json.loads(Path(cfg.test_evaluator.ann_file).read_text())
    present = {one["category_id"] for one in content["annotations"]}
    chosen = [category for category in content["categories"] if category["id"] in present][-2:]
    cfg.test_dataloader.dataset.metainfo = {"classes": [category["name"] for category in chosen]}
    wanted = {category["id"] for category in chosen}
    found = [{**one, "score": 0.9} for one in content["annotations"] if one["category_id"] in wanted]

    def predicted(cfg, checkpoint):
        Path("out").mkdir(exist_ok=True)
        Path(f"{cfg.test_evaluator['outfile_prefix']}.bbox.json").write_text(json.dumps(found))
        return None, None, {}

    shown = []
    monkeypatch.setattr(predictions, "_run", predicted)
    monkeypatch.setattr(predictions, "compare_with_truth", lambda *arguments: shown.append(arguments[2]) or [])
    text = report_errors(cfg, "weights.pth", Path("out"), images=0).read_text()
    assert re.findall(r"<tr><td>(\w+)</td><td>\d+</td><td>([\d.]*)</td>", text)[:3] == [
        (name, "100.0") for name in (chosen[0]["name"], chosen[1]["name"], "all")
    ]
    assert "Errors of boxes: AP50 100.0" in text
    assert "Worst images" not in text
    with pytest.raises(ValueError, match="zip"):
        report_errors(cfg, "weights.pth", Path("out"), images=2)
    assert sorted(shown[0]) == [0, 1]


@pytest.mark.parametrize(("option", "value"), [("--images", "-1"), ("--score", "5")])
def test_arguments_are_checked_before_the_test(monkeypatch, run_tool, tmp_path, option, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "segment", pytest.fail)
    code, output = run_tool("analyze_errors", SEGMENTOR, "weights.pth", option, value)
    assert code == 2
    assert f"{option[2:]} must be a number from 0" in output.err


def test_config_without_such_a_metric(report, capsys):
    with pytest.raises(SystemExit) as end:
        report(SEGMENTOR, "test_evaluator.type=mmbeit3.LabelAccuracy")
    assert end.value.code == 2
    assert "neither CocoMetric nor IoUMetric" in capsys.readouterr().err
