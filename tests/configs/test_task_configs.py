"""Configs of the five tasks build, and their parts fit together."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor
from tests.configs.tasks import use, walk, write_files
from tests.configs.test_configs import PARTS, TASKS
from tests.paths import ROOT

pytest.importorskip("sentencepiece")

# The shapes configs have their own recipes.
OFFICIAL = [path for path in TASKS if "shapes" not in path]
RELEASED = "https://github.com/addf400/files/releases/download/beit3/beit3_{}{}_patch16_224.pth"
# Weights after contrastive tuning, or after further pretraining on COCO and Visual Genome.
KINDS = {"retrieval": "_itc", "768x768": "_indomain"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"))


def test_there_are_configs():
    assert {Path(path).parent.name for path in OFFICIAL} == {"captioning", "imagenet", "nlvr2", "retrieval", "vqa"}
    assert len(OFFICIAL) >= 21


def sizes(cfg):
    """Return the image sizes that the steps of a pipeline produce."""
    names = ("Resize", "mmpretrain.RandomResizedCrop", "mmpretrain.ResizeEdge")
    found = {part["scale"] for part in walk(cfg) if part.get("type") in names}
    found |= {part["crop_size"] for part in walk(cfg) if part.get("type") == "CenterCrop"}
    return {side for size in found for side in (size if isinstance(size, tuple | list) else [size])}


@pytest.mark.parametrize("path", OFFICIAL)
def test_builds_and_fits_together(path, files):
    cfg = use(Config.fromfile(ROOT / path), files)
    assert PARTS.isdisjoint(cfg.keys())
    assert cfg.custom_imports["imports"][0] == "mmbeit3.registry"
    assert cfg.default_hooks.checkpoint.type == "mmbeit3.SafeCheckpointHook"
    arch = cfg.model.network.arch
    if arch != "giant":
        kind = next((kind for part, kind in KINDS.items() if part in path), "")
        assert cfg.model.init_cfg.checkpoint == RELEASED.format(arch, kind)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    # The image size must match the position table.
    grid = {p.shape[0] for name, p in model.named_parameters() if name.endswith("vision.embed.positions")} or {
        p.shape[-2] for name, p in model.named_parameters() if name.endswith("vision.embed.pos_embed")
    }
    patch = 14 if arch == "giant" else 16
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(loader):
            assert sizes(cfg[loader].dataset) == {math.isqrt(min(grid) - 1) * patch}, loader
    # Learning rates: every parameter has a group, and the cosine ends with the training.
    wrapper = LayerDecayOptimWrapperConstructor(cfg.optim_wrapper, cfg.optim_wrapper.paramwise_cfg)
    groups = wrapper.param_groups(model)
    assert max(group["lr"] for group in groups) == pytest.approx(cfg.lr * (20 if "/vqa/" in path else 1))
    warm, cosine = cfg.param_scheduler
    assert warm.end == cosine.begin == cosine.end - cosine.T_max
    assert cosine.end == cfg.train_cfg.get("max_epochs", cfg.train_cfg.get("max_iters"))
    assert cosine.eta_min_ratio * cfg.lr == pytest.approx(1e-6)
    # The file name gives the batch size: GPUs x images per GPU.
    gpus, each = Path(path).stem.split("_")[1].split("-")[0].split("xb")
    assert int(each) == cfg.train_dataloader.batch_size
    assert int(gpus) * int(each) == cfg.auto_scale_lr.base_batch_size


@pytest.mark.parametrize("path", [path for path in OFFICIAL if "in21k" not in path])
def test_validation_and_test_images_are_not_augmented(path):
    cfg = Config.fromfile(ROOT / path)
    random = ("RandomFlip", "mmpretrain.RandomResizedCrop", "mmpretrain.RandAugment", "mmpretrain.RandomErasing")
    for loader, augmented in (("train", True), ("val", False), ("test", False)):
        types = {part.get("type") for part in walk(cfg[f"{loader}_dataloader"].dataset)}
        assert bool(types & set(random)) is augmented
        assert ("mmbeit3.LoadImageOrGrey" in types) is not augmented
