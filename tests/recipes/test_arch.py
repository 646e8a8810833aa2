"""One setting changes the size of the ViT as the configs that were written for that size."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.errors import UserError
from mmbeit3.recipes import set_arch
from tests.paths import ROOT

PAIRS = [
    ("coco/mask-rcnn_beit3-adapter-{}_fpn_1x_coco.py", True),
    ("coco/cascade-mask-rcnn_beit3-adapter-{}_fpn_1x_coco.py", True),
    ("ade20k/beit3-adapter-{}_upernet_8xb2-160k_ade20k-512x512.py", True),
    # Its recipes have the same layer decay for both sizes, and recompute the large ViT.
    ("coco/mask2former_beit3-adapter-{}_8xb2-lsj-50e_coco.py", False),
]


def read(name):
    return Config.fromfile(ROOT / "configs" / name)


@pytest.mark.parametrize(("name", "same_decay"), PAIRS)
@pytest.mark.parametrize(("start", "arch"), [("b", "large"), ("l", "base")])
def test_the_result_is_the_config_of_that_size(name, same_decay, start, arch):
    cfg, wanted = read(name.format(start)), read(name.format(arch[0]))
    set_arch(cfg, arch)
    for one in (cfg, wanted):
        one.model.backbone.vit.pop("with_cp", None)
        # The default of 0 may be written or not.
        for part in (one.model.backbone, one.model.backbone.vit):
            part.setdefault("drop_path_rate", 0.0)
    assert cfg.model.to_dict() == wanted.model.to_dict()
    if same_decay:
        assert cfg.optim_wrapper.paramwise_cfg == wanted.optim_wrapper.paramwise_cfg


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py", "tiny"),
        (PAIRS[2][0].format("b"), "giant"),
        (PAIRS[2][0].format("l"), "base"),
    ],
)
def test_every_size_builds(name, arch):
    cfg = read(name)
    set_arch(cfg, arch)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model).backbone
    vit = cfg.model.backbone.vit
    groups = cfg.model.backbone.interaction_indexes
    assert [index for first, last in groups for index in range(first, last + 1)] == list(range(backbone.vit.num_layers))
    if "window_size" in vit:
        assert vit.global_indices == tuple(last for _, last in groups)
    channels = (cfg.model.get("neck") or cfg.model.decode_head).in_channels
    assert channels == [backbone.embed_dims] * 4
    assert ("init_cfg" in vit) == (arch != "tiny")
    assert arch not in ("base", "large") or f"beit3_{arch}_itc" in vit.init_cfg.checkpoint


def test_settings_of_the_config_stay():
    cfg = read("coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py")
    cfg.model.backbone.norm_cfg = {"type": "GN", "num_groups": 32}
    cfg.model.backbone.vit.init_cfg.checkpoint = "mine.pth"
    set_arch(cfg, "large")
    assert cfg.model.backbone.norm_cfg.type == "GN"
    assert cfg.model.backbone.vit_feature == "last"
    assert cfg.model.backbone.vit.init_cfg.checkpoint == "mine.pth"


@pytest.mark.parametrize(
    ("name", "arch", "message"),
    [
        ("coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py", "huge", "arch is 'huge': choose one of tiny, base, large, giant"),
        ("timm/mask-rcnn_dinov2-adapter-b_fpn_1x_coco.py", "large", "the config has mmbeit3.TimmViT: remove arch"),
        ("objects365/cascade-rcnn_beit3-b_vitdet_1024_objects365.py", "large", "the config has mmbeit3.BEiT3Vision"),
    ],
)
def test_what_it_refuses(name, arch, message):
    with pytest.raises(UserError, match=message):
        set_arch(read(name), arch)
