"""Pretraining configs of real images, on made images: they read training images only, and each stage feeds the next."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.registry import DATASETS, MODELS
from tests.paths import ROOT


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Folders as ``tools/prepare_data.py`` writes them; only training images can be read."""
    rng = np.random.default_rng(0)
    train = tmp_path / "data" / "camvid" / "images" / "train"
    train.mkdir(parents=True)
    for index in range(2):
        cv2.imwrite(str(train / f"{index}.png"), rng.integers(0, 255, (36, 48, 3), np.uint8))
    for name in ("nuclei", "bccd"):
        (tmp_path / "data" / name / "images").mkdir(parents=True)
        (tmp_path / "data" / name / "images" / "val.png").write_text("not an image")
        cv2.imwrite(str(tmp_path / "data" / name / "images" / "a.png"), rng.integers(0, 255, (40, 40, 3), np.uint8))
        coco = {"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 40}], "annotations": [], "categories": []}
        (tmp_path / "data" / name / "train.json").write_text(json.dumps(coco))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train_a_step(cfg):
    """Build the parts of a config and train one step; return the model and its losses."""
    cfg.train_dataloader.dataset.streams.images.batch = 4
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    # An unusable image would be skipped with a warning: make it an error.
    dataset.max_errors = 0
    assert len(dataset.records["images"]) == 4
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return model.train(), model.train_step(next(iter(dataset)), wrapper)


def test_from_teacher_to_backbone(data):
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / "configs" / "real" / "vqkd-tiny_real.py")
    cfg.model.teacher.checkpoint = None
    tokenizer, logged = train_a_step(cfg)
    assert 0 < logged["codes_used"] <= 1
    torch.save({"state_dict": tokenizer.state_dict()}, data / "codes.pth")
    cfg = Config.fromfile(ROOT / "configs" / "real" / "beit3-tiny_mdm_real.py")
    cfg.model.tokenizer.checkpoint = str(data / "codes.pth")
    pretrainer, logged = train_a_step(cfg)
    # An untrained network guesses about as well as chance.
    assert float(logged["images.image.loss"]) == pytest.approx(np.log(512), rel=0.2)
    torch.testing.assert_close(
        pretrainer.tokenizer.quantize.embedding.weight, tokenizer.tokenizer.quantize.embedding.weight, atol=0, rtol=0
    )
    torch.save({"state_dict": pretrainer.state_dict()}, data / "pretrained.pth")
    init = {"type": "Pretrained", "checkpoint": str(data / "pretrained.pth")}
    backbone = BEiT3Vision("tiny", image_size=224, init_cfg=init)
    backbone.init_weights()
    torch.testing.assert_close(
        backbone.layers[7].ffn.fc1.weight, pretrainer.network.vision.layers[7].ffn.fc1.weight, atol=0, rtol=0
    )
