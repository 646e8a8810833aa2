"""tools/real_demo.py as a command, with a training that writes its log and nothing else."""

import json

import pytest

from mmbeit3.demos import training
from tests.datasets.prepared.made import voc, write_folder
from tests.tools.calls import refused


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """List of the trainings; none of them takes time."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "copy", voc())
    calls = []

    def train(config, work_dir, title, options, resume):
        calls.append((config, work_dir.name, dict(options), resume))
        log = work_dir / "1" / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps({"coco/bbox_mAP": 0.5, "coco/bbox_mAP_50": 0.8, "step": 6}))
        (work_dir / "last_checkpoint").write_text("epoch_6.pth")
        return work_dir

    monkeypatch.setattr(training, "train_config", train)
    monkeypatch.setattr(training, "show_training", lambda config, work_dir: [])
    return calls


def test_without_weights_and_a_second_call(run_tool, trained, tmp_path):
    for _ in range(2):
        code, output = run_tool("real_demo", "--data", "copy")
        assert code == 0, output.err
        assert "data in data/bccd: train 3 images, val 2 images" in output.out
        assert "Faster R-CNN with a tiny BEiT-3 from random weights" in output.out
        assert "box AP 50.0, box AP50 80.0" in output.out
        assert output.out.rstrip().endswith("predict work_dirs/real-demo/random data/bccd/images")
    assert [(call[1], call[3]) for call in trained] == [("random", True)]
    report = (tmp_path / "work_dirs" / "real-demo" / "random" / "report.html").read_text()
    assert "Trained on 3 photographs" in report
    assert "80.0" in report


def test_with_weights(run_tool, trained, tmp_path):
    (tmp_path / "vit.safetensors").write_bytes(b"")
    code, output = run_tool("real_demo", "--data", "copy", "--weights", "vit.safetensors")
    assert code == 0, output.err
    (config, folder, options, _) = trained[0]
    assert (config, folder) == ("mmbeit3::real/faster-rcnn_dinov2-adapter-s-frozen_bccd.py", "dinov2")
    assert {name: str(value) for name, value in options.items()} == {
        "model.backbone.vit.init_cfg.checkpoint": "vit.safetensors"
    }


def test_missing_weights(call, trained):
    refused(call("real_demo", "--data", "copy", "--weights", "none.pth"), "'none.pth' does not exist: check --weights")
    assert trained == []
