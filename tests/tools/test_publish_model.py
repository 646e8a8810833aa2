"""The command that makes a file for others."""

import hashlib
import json

import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import load_file

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.models.backbones import BEiT3Vision
from tests.goldens import ARCH
from tests.tools.calls import refused


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model whose training left a checkpoint, logs and a config."""
    monkeypatch.chdir(tmp_path)
    model = torch.nn.ModuleDict({"backbone": BEiT3Vision(ARCH)})
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    buffer = HistoryBuffer()
    buffer.update(0.5)
    meta = {"epoch": 12, "iter": 900, "cfg": "import os; os.system('touch ran')", "mmengine_version": "0.10.12"}
    content = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "message_hub": {"log": buffer},
        "meta": meta,
    }
    torch.save(content, "epoch_12.pth")
    (tmp_path / "mine.py").write_text("_base_ = 'base.py'\n")
    for run, lines in {
        "20250101_000000": [{"coco/bbox_mAP": 0.1, "step": 12}],
        "20250102_000000": [
            {"lr": 0.1, "loss": 2.0, "step": 1},
            {"coco/bbox_mAP": 0.2, "step": 11, "time": 1.0},
            {"coco/bbox_mAP": 0.25, "coco/segm_mAP": 0.125, "coco/segm_mAP_l": -1.0, "time": 1.0, "data_time": 0.1, "step": 12},
            {"lr": 0.1, "loss": 1.0, "step": 950},
        ],
    }.items():
        log = tmp_path / "work" / run / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"coco/bbox_m')
    return model


def test_weights_checksum_and_card(call, model, tmp_path):
    arguments = ("--config", "mine.py", "--work-dir", "work", "--score", "mIoU=53.6")
    assert call("publish_model", "epoch_12.pth", "out", *arguments) == (0, "")
    card, weights = sorted((tmp_path / "out").iterdir())
    assert card.name == "README.md"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f"mine-{digest[:8]}.safetensors"
    assert load_file(weights).keys() == model.state_dict().keys()
    again = torch.nn.ModuleDict({"backbone": BEiT3Vision(ARCH)})
    load_checkpoint(again, weights, strict=True)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    text = card.read_text()
    rows = (f"| SHA-256 | {digest} |", "| box AP | 25.0 |", "| mask AP | 12.5 |", "| mIoU | 53.6 |")
    assert all(row in text for row in (*rows, "| training's epoch | 12 |", "| layout | mmbeit3 |", "_base_ = 'base.py'"))
    assert "20.0 |" not in text
    assert "large" not in text
    assert "data_time" not in text
    assert f"| PyTorch | {torch.__version__} |" in text
    assert "os.system" not in text
    assert not (tmp_path / "ran").exists()
    refused(call("publish_model", "epoch_12.pth", "out"), "already has a README.md")


def test_bad_input(call, model, tmp_path):
    refused(call("publish_model", "none.pth", "out"), "'none.pth' does not exist")
    refused(call("publish_model", "epoch_12.pth", "out", "--score", "53.6"), "METRIC=VALUE")
    refused(call("publish_model", "epoch_12.pth", "out", "--work-dir", "out"), "'out' has no scores")
    refused(call("publish_model", "epoch_12.pth", "out", "--config", "none.py"), "'none.py' does not exist")
    refused(call("publish_model", "epoch_12.pth", "out", "--name", "../up"), "cannot be the name of a file")
    assert not (tmp_path / "out").exists()
