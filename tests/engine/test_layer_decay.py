import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmbeit3.engine.optimizers import LayerDecayOptimWrapperConstructor, layer_depth
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH

TABLE = {
    "backbone.vit.embed.positions": 0,
    "backbone.vit.embed.proj.weight": 0,
    "backbone.vit.layers.0.attn.qkv.weight": 1,
    "backbone.vit.layers.3.ffn.norm.bias": 4,
    "backbone.layers.2.ffn.fc1.weight": 3,
    "backbone.norm.weight": 5,
    "backbone.norm1.weight": 5,
    "backbone.spm.stem.0.weight": 5,
    "backbone.interactions.0.injector.gamma": 5,
    "backbone.level_embed": 5,
    "backbone.up.bias": 5,
    "backbone.vit.model.reg_token": 0,
    "backbone.vit.model.patch_embed.proj.bias": 0,
    "backbone.vit.model.blocks.1.attn.qkv.weight": 2,
    "backbone.model.norm.weight": 5,
    "neck.lateral_convs.0.conv.weight": 5,
    "decode_head.pixel_decoder.encoder.layers.0.norms.0.weight": 5,
    "roi_head.bbox_head.fc_cls.weight": 5,
    "vision.layers.1.attn.out.weight": 2,
    "beit3.language.embed.words.weight": 0,
    "language.norm.weight": 5,
    "fusion_ffns.3.fc1.weight": 4,
}


@pytest.mark.parametrize(("name", "depth"), TABLE.items())
def test_depth(name, depth):
    assert layer_depth(name, 4) == depth


@pytest.mark.parametrize("name", ["backbone.layer1.0.conv1.weight", "backbone.vit.something", "backbone.stem.weight"])
def test_a_parameter_that_cannot_be_placed(name):
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        layer_depth(name, 4)


class Detector(torch.nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = torch.nn.Linear(4, 4)


def build(model, rate=0.5, **paramwise):
    cfg = {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1},
        "constructor": "mmbeit3.LayerDecayOptimWrapperConstructor",
        "paramwise_cfg": {"layer_decay_rate": rate, **paramwise},
    }
    return build_optim_wrapper(model, cfg).optimizer


def by_name(model, optimizer):
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    return {name: groups.get(id(p)) for name, p in model.named_parameters()}


def test_adapter_in_a_detector():
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}
    adapter = ViTAdapter(vit, [(i, i) for i in range(4)], conv_inplane=8, deform_num_heads=3, norm_cfg={"type": "BN"})
    model = Detector(adapter)
    groups = by_name(model, build(model))
    assert None not in groups.values()
    expected = {
        "backbone.vit.embed.proj.weight": (0.5**5, 0.1),
        "backbone.vit.embed.positions": (0.5**5, 0.0),
        "backbone.vit.embed.cls_token": (0.5**5, 0.0),
        "backbone.vit.layers.1.ffn.fc2.weight": (0.5**3, 0.1),
        "backbone.vit.layers.1.ffn.fc2.bias": (0.5**3, 0.0),
        "backbone.level_embed": (1.0, 0.0),
        "backbone.interactions.0.injector.gamma": (1.0, 0.0),
        "backbone.up.weight": (1.0, 0.1),
        "head.weight": (1.0, 0.1),
        "head.bias": (1.0, 0.0),
    }
    for name, values in expected.items():
        assert (groups[name]["lr"], groups[name]["weight_decay"]) == pytest.approx(values), name


def test_full_model_frozen_parts_and_custom_keys():
    model = BEiT3({**ARCH, "num_fusion_layers": 1})
    model.vision.embed.requires_grad_(False)
    groups = by_name(model, build(model, custom_keys={"language": {"lr_mult": 2.0, "decay_mult": 0.0}}))
    assert groups["vision.embed.proj.weight"] is None
    assert groups["language.layers.3.ffn.fc1.weight"]["lr"] == pytest.approx(1.0)
    assert groups["language.layers.3.ffn.fc1.weight"]["weight_decay"] == 0
    assert groups["fusion_ffns.3.fc1.weight"]["lr"] == pytest.approx(0.5)


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": 1.5}, {"norm_decay_mult": 0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="paramwise_cfg"):
        build(Detector(BEiT3Vision(ARCH)), **options)


def test_a_model_without_layers():
    with pytest.raises(ValueError, match="no layers"):
        LayerDecayOptimWrapperConstructor({"optimizer": {"type": "SGD", "lr": 1.0}})(torch.nn.Linear(2, 2))
