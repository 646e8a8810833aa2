"""Every config parses and builds."""

import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.inference.published import PUBLISHED_CONFIG, prediction_config, read_published
from tests.paths import ROOT

ALL = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "configs").rglob("*.py") if "_base_" not in p.parts)
TOKENIZERS = [path for path in ALL if "/vqkd-" in path]
PRETRAIN = [path for path in ALL if "_mdm_" in path or "_itc_" in path]
TASKS = [path for path in ALL if path.split("/")[1] in ("captioning", "imagenet", "nlvr2", "retrieval", "vqa")]
# tests/recipes tests those of configs/mine, which need data to become complete.
MINE = [path for path in ALL if path.startswith("configs/mine/")]
CONFIGS = [path for path in ALL if path not in (*PRETRAIN, *TOKENIZERS, *TASKS, *MINE)]
# Names that configs pop from files of `_base_`. The resulting config must not contain them.
PARTS = {name for path in (ROOT / "configs").rglob("*.py") for name in re.findall(r'_base_\.pop\("(\w+)"\)', path.read_text())}
# Not a part: R-CNN configs name their weights in it, which recipes do not keep.
PARTS -= {"checkpoint"}
OFFICIAL = re.compile(r"/beit3_(base|large)_itc_patch16_224\.pth$")


def without_downloads(cfg):
    """Stop timm from downloading weights."""
    vit = cfg.model.backbone.get("vit", {})
    if vit.get("type") == "mmbeit3.TimmViT":
        vit.pretrained = False
    return cfg


@pytest.mark.parametrize("path", [path for path in CONFIGS if "-g_" in path])
def test_the_giant_recomputes_its_blocks(path):
    """It needs close to 80 GB or more without; the configs of smaller sizes that it inherits from do not recompute."""
    backbone = Config.fromfile(ROOT / path).model.backbone
    assert backbone.with_cp
    assert backbone.get("vit", backbone).with_cp


def test_there_are_configs():
    assert len(CONFIGS) > 30
    assert {"adapter", "weights"} <= PARTS


@pytest.mark.parametrize("path", CONFIGS)
def test_builds(path, tmp_path):
    cfg = without_downloads(Config.fromfile(ROOT / path))
    # It can be published: everything that predictions need is data, and its reader accepts it.
    (tmp_path / PUBLISHED_CONFIG).write_text(json.dumps(prediction_config(cfg)))
    published = read_published(tmp_path)
    steps = next(find_datasets(cfg.test_dataloader.dataset)).pipeline
    # MMEngine adds _scope_ to some of them; the class names carry no scope because the config has a default one.
    steps = [{key: value for key, value in step.items() if key != "_scope_"} for step in steps]
    assert published.test_dataloader.dataset.pipeline == steps
    if "neck" in cfg.model:
        assert published.model.neck == cfg.model.neck
    assert PARTS.isdisjoint(cfg.keys())
    assert cfg.custom_imports["imports"][0] == "mmbeit3.registry"
    # ThroughputHook is the third in all configs, because the documented line that turns it off removes the third.
    assert [hook.type for hook in cfg.custom_hooks] == [
        "mmbeit3.FastOpsHook",
        "mmbeit3.FiniteLossHook",
        "mmbeit3.ThroughputHook",
    ]
    assert cfg.default_hooks.checkpoint.type == "mmbeit3.SafeCheckpointHook"
    assert cfg.optim_wrapper.constructor == "mmbeit3.LayerDecayOptimWrapperConstructor"
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    backbone = model.backbone
    # The neck or head expects the backbone's width.
    neck_or_head = cfg.model.get("neck") or cfg.model.get("panoptic_head") or cfg.model.get("decode_head")
    channels = neck_or_head["in_channels"]
    assert set(channels if isinstance(channels, list) else [channels]) == {backbone.embed_dims}
    vit = getattr(backbone, "vit", backbone)
    # Position tables depend on the image size, so they are not counted.
    counted = sum(p.numel() for name, p in vit.named_parameters() if not name.endswith(("positions", "pos_embed")))
    expected = {768: 85.7e6, 1024: 303.3e6, 1408: 1.0114e9, 192: 3.7e6, 384: 21.5e6}[backbone.embed_dims]
    assert counted == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if not p.startswith(("configs/timm", "configs/shapes", "configs/overfit", "configs/real"))]
)
def test_starts_from_an_official_file(path):
    cfg = Config.fromfile(ROOT / path)
    vit = cfg.model.backbone.get("vit", cfg.model.backbone)
    if "init_cfg" in vit and vit.arch != "giant":
        assert OFFICIAL.search(vit.init_cfg.checkpoint)
        assert vit.arch in vit.init_cfg.checkpoint
    else:
        # The giant's weights were never released; the COCO stage starts from the Objects365 stage.
        assert vit.arch == "giant" or "objects365" in cfg.load_from


def test_every_config_is_in_the_docs():
    listed = set(re.findall(r"\]\(\.\./(configs/[^)]+\.py)\)", (ROOT / "docs" / "configs.md").read_text()))
    assert listed == set(ALL)


@pytest.mark.parametrize("path", PRETRAIN)
def test_pretraining_builds(path):
    cfg = Config.fromfile(ROOT / path)
    assert PARTS.isdisjoint(cfg.keys())
    assert cfg.custom_imports["imports"][0] == "mmbeit3.registry"
    assert cfg.default_hooks.checkpoint.type == "mmbeit3.SafeCheckpointHook"
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    counted = sum(p.numel() for p in model.network.parameters())
    # Counts of the released files. For the giant, the paper gives 1.9 billion without heads, 52 million of them for fusion.
    expected = {
        "BEiT3Pretrainer": {768: 276.51e6, 1024: 746.71e6, 1408: 1.95e9, 192: 7.415e6 if "shapes" in path else 7.450e6},
        "BEiT3ContrastiveTuner": {768: 222.17e6, 1024: 674.80e6, 1408: 1.80e9, 192: 7.436e6},
    }[type(model).__name__][model.network.arch.embed_dims]
    assert counted == pytest.approx(expected, rel=1e-3)
    dataset = cfg.train_dataloader.dataset
    assert (dataset.image_size, dataset.patch_size) == (model.network.arch.image_size, model.network.arch.patch_size)


@pytest.mark.parametrize("path", TOKENIZERS)
def test_tokenizer_builds(path):
    cfg = Config.fromfile(ROOT / path)
    assert PARTS.isdisjoint(cfg.keys())
    assert cfg.custom_imports["imports"][0] == "mmbeit3.registry"
    assert cfg.default_hooks.checkpoint.type == "mmbeit3.SafeCheckpointHook"
    cfg.model.teacher.update(pretrained=False, checkpoint=None)
    if cfg.model.get("encoder_from_teacher"):
        # Copying needs values, which the meta device does not have: tests/pretrain/test_real_configs.py builds it.
        cfg.model.encoder_from_teacher = False
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    dataset = cfg.train_dataloader.dataset
    assert list(dataset.streams) == ["images"]
    assert dataset.image_size == model.tokenizer.grid[0] * dataset.patch_size
    assert dataset.patch_size == model.tokenizer.patch_size
    if "-b_" in path:
        assert model.tokenizer.teacher_dims == 512
        assert cfg.train_cfg.max_iters == 250_200
