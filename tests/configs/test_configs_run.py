"""Every config trains a step and predicts with a tiny architecture and its own pipelines, losses and metrics."""

import gc
import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmbeit3.datasets.checks import check_data
from mmbeit3.runner.config import use_tta
from tests.configs.test_configs import CONFIGS
from tests.configs.tiny import lay_out_data, make_tiny
from tests.paths import ROOT, shared


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    lay_out_data(folder)
    return folder


@pytest.fixture(autouse=True)
def _in_data_folder(data, monkeypatch):
    monkeypatch.chdir(data)
    yield
    gc.collect()


def build(cfg):
    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    return model


def first_batch(loader):
    return next(iter(Runner.build_dataloader(loader, seed=0)))


# Those of configs/real differ in the ViT only, so one of each data set and head is trained.
@pytest.mark.parametrize("path", [path for path in CONFIGS if not path.startswith("configs/real/") or "-frozen_" in path])
def test_trains_and_predicts(path):
    train_and_predict(make_tiny(Config.fromfile(ROOT / path)))


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.startswith("configs/overfit/")])
def test_trains_and_predicts_on_photographs(path, tmp_path, monkeypatch):
    shutil.copytree(shared("real_coco"), tmp_path / "data" / "coco_few", copy_function=shutil.copyfile)
    file = tmp_path / "data" / "coco_few" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    for number, annotation in enumerate(content["annotations"], start=1):
        # Ids start at 0, which COCO's evaluation treats as no object.
        annotation["id"] = number
    file.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    train_and_predict(make_tiny(Config.fromfile(ROOT / path)))


def train_and_predict(cfg):
    """Train one step and evaluate once."""
    check_data(cfg)
    model = build(cfg)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.backbone.named_parameters() if p.requires_grad}
    model.train()
    losses = model.train_step(first_batch(cfg.train_dataloader), optim_wrapper)
    assert all(torch.isfinite(value).all() for value in losses.values())
    # Queries act only through the sampling weights, which start at zero, so their norms learn from the second step.
    unmoved = [
        name
        for name, p in model.backbone.named_parameters()
        if name in before and "query_norm" not in name and torch.equal(p, before[name])
    ]
    assert not unmoved, unmoved

    model.eval()
    loader = Runner.build_dataloader(cfg.val_dataloader)
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    evaluator = Evaluator(evaluators)
    evaluator.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for batch in loader:
            evaluator.process(data_samples=model.val_step(batch), data_batch=batch)
    scores = evaluator.evaluate(len(loader.dataset))
    assert scores
    # NaN if a class has no ground truth, -1 if COCO has no object of a size.
    assert all(not value > 100 and not value < -1 for value in scores.values())


@pytest.mark.parametrize(
    "path",
    [
        "configs/coco/cascade-mask-rcnn_beit3-b_vitdet_o365-1280_coco.py",
        "configs/ade20k/beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py",
    ],
)
def test_predicts_with_test_time_augmentation(path):
    cfg = make_tiny(Config.fromfile(ROOT / path))
    use_tta(cfg)
    model = build(cfg).eval()
    with torch.no_grad():
        (sample,) = model.test_step(first_batch(cfg.test_dataloader))
    if "pred_sem_seg" in sample:
        assert sample.pred_sem_seg.data.shape[-2:] == sample.ori_shape
    else:
        assert len(sample.pred_instances) <= 100
