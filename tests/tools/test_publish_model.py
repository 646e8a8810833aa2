"""The command that makes a file for others."""

import hashlib
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, init_default_scope
from safetensors.torch import load_file, save_file

from mmbeit3 import load_model
from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.runner.config import read_config
from tests.goldens import ARCH
from tests.paths import ROOT
from tests.tools.calls import refused

SHAPES = ROOT / "configs" / "shapes"
DENSE = {
    "detector": SHAPES / "mask-rcnn_beit3-adapter-t_shapes.py",
    "segmentor": SHAPES / "beit3-adapter-t_mask2former_shapes.py",
}


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
    meta = {
        "epoch": 12,
        "iter": 900,
        "cfg": "import os; os.system('touch ran')",
        "time": "20250102_000000",
        "mmengine_version": f"0.10.12{'0a' * 20}",
    }
    content = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "message_hub": {"log": buffer},
        "meta": meta,
    }
    torch.save(content, "epoch_12.pth")
    (tmp_path / "base.py").touch()
    (tmp_path / "mine.py").write_text("_base_ = 'base.py'\nseed = 3\n")
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
    assert all(row in text for row in (*rows, "| epochs | 12 |", "| layout | mmbeit3 |", "seed = 3"))
    assert "| MMEngine of training | 0.10.12 |" in text
    assert "| trained on | 2025-01-02 |" in text
    assert "| precision | float32 |" in text
    assert "20.0 |" not in text
    # COCO's -1 means that there are no objects of this size.
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


@pytest.fixture(scope="module", params=DENSE)
def trained(request, tmp_path_factory):
    """Return the config and a checkpoint of a tiny detector or segmentor, and an image on which it finds something."""
    folder = tmp_path_factory.mktemp(request.param)
    cfg = read_config(DENSE[request.param])
    init_default_scope(cfg.default_scope)
    torch.manual_seed(1)
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, folder / "iter_9.pth")
    image = np.random.default_rng(2).integers(0, 256, (9, 12, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    cv2.imwrite(str(folder / "photo.png"), image)
    return DENSE[request.param], folder / "iter_9.pth", folder / "photo.png"


def test_published_folder_predicts_as_before(call, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, checkpoint, image = trained
    assert call("publish_model", checkpoint, "out/mine", "--config", config) == (0, "")
    card = (tmp_path / "out" / "mine" / "README.md").read_text()
    assert 'load_model("mine")' in card
    assert "python tools/predict.py mine photo.jpg" in card
    # A folder may be moved.
    published = (tmp_path / "out" / "mine").rename(tmp_path / "elsewhere")
    before, after = (
        load_model(*model, device="cpu").predict(image, score=0.0) for model in ((config, checkpoint), (published,))
    )
    assert before.counts()
    assert before.to_coco() == after.to_coco()
    assert (before.classes, before.colours.tolist()) == (after.classes, after.colours.tolist())


def test_config_of_the_work_dir(call, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, checkpoint, _ = trained
    cfg = read_config(config)
    log = tmp_path / "work" / "20250101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({"coco/bbox_mAP": 0.1, "step": 12}))
    cfg.dump(tmp_path / "work" / "mine.py")
    assert call("publish_model", checkpoint, "out", "--work-dir", "work") == (0, "")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["default_scope"] == cfg.default_scope
    (weights,) = (tmp_path / "out").glob("*.safetensors")
    assert weights.name.startswith("mine-")


def test_published_config_that_would_run_code(call, trained, tmp_path):
    config, checkpoint, _ = trained
    assert call("publish_model", checkpoint, tmp_path / "out", "--config", config) == (0, "")
    path = tmp_path / "out" / "config.json"
    published = path.read_text()
    for name in ("os.system", "mmengine.dump", "builtins.eval"):
        content = json.loads(published)
        content["test_dataloader"]["dataset"]["pipeline"].append({"type": name, "command": "touch ran"})
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=f"'{name}' is not the name of a registered class") as refusal:
            load_model(tmp_path / "out")
        assert "\n" not in str(refusal.value)


def test_checkpoint_of_other_classes(call, trained, tmp_path):
    config, checkpoint, _ = trained
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": ("cat", "dog")}}}, tmp_path / "pets.pth")
    refused(
        call("publish_model", tmp_path / "pets.pth", tmp_path / "out", "--config", config),
        "was trained on other classes",
        "cat",
    )
    assert not (tmp_path / "out").exists()


def test_files_in_the_folder_are_kept(call, model, tmp_path):
    """The source, or a file of another model, may have the name without a checksum."""
    torch.save({"state_dict": model.state_dict()}, tmp_path / "m.pth")
    for folder, source in (("a", "a/m.safetensors"), ("b", "m.pth")):
        (tmp_path / folder).mkdir()
        save_file(model.state_dict(), tmp_path / folder / "m.safetensors")
        before = (tmp_path / folder / "m.safetensors").read_bytes()
        assert call("publish_model", source, folder, "--name", "m") == (0, "")
        assert (tmp_path / folder / "m.safetensors").read_bytes() == before
        names = sorted(path.name.split("-")[0] for path in (tmp_path / folder).iterdir())
        assert names == ["README.md", "m", "m.safetensors"]
