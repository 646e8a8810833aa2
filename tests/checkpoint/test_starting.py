"""Starting a whole model from a file, as ``load_from`` does."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint, start_from, write_safetensors
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.runner.runners import CheckedRunner
from tests.goldens import ARCH


class Detector(nn.Module):
    def __init__(self, classes=5, **options):
        super().__init__()
        self.backbone = BEiT3Vision(ARCH, **options)
        self.neck = nn.Conv2d(48, 8, 1)
        self.head = nn.Linear(8, classes)


def randomized(model):
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("layout", ["official", "mmbeit3", "timm"])
def test_start_from_network_alone(tmp_path, layout):
    """MMEngine would load nothing from such a file and train from random weights."""
    network = randomized(BEiT3(ARCH))
    state = network.state_dict()
    if layout == "timm":
        state = {name: tensor for name, tensor in state.items() if name.startswith("vision.") and "mask_token" not in name}
    write_safetensors(
        {n: t.contiguous() for n, t in LAYOUTS[layout].to_theirs(state).items()}, tmp_path / "network.safetensors"
    )
    model, backbone = randomized(Detector()), BEiT3Vision(ARCH)
    head = model.head.weight.clone()
    report = start_from(model, tmp_path / "network.safetensors")
    load_checkpoint(backbone, state)
    if layout == "timm":  # without two rows that are never read
        for tower in (backbone, model.backbone):
            nn.init.zeros_(tower.embed.positions[:2])
    assert equal(model.backbone, backbone)
    assert torch.equal(model.head.weight, head)
    assert {"neck.weight", "head.weight"} <= set(report.missing)
    assert report.layout == layout


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "lit.detector.module."])
def test_start_from_same_model(tmp_path, prefix):
    source, model = randomized(Detector()), Detector()
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in source.state_dict().items()}}, tmp_path / "a.pth")
    report = start_from(model, tmp_path / "a.pth")
    assert equal(model, source)
    assert (report.missing, report.unused, report.left_out) == ([], [], [])
    assert set(report.loaded) == set(model.state_dict()) - {"backbone.embed.position_grid"}


def test_start_with_other_classes_and_image_size():
    source, model = randomized(Detector()), randomized(Detector(classes=7, image_size=96))
    head = model.head.weight.clone()
    report = start_from(model, source.state_dict())
    assert report.left_out == ["head.weight", "head.bias"]
    assert torch.equal(model.head.weight, head)
    assert torch.equal(model.neck.weight, source.neck.weight)
    resized = BEiT3Vision(ARCH, image_size=96)
    load_checkpoint(resized, source.backbone.state_dict())
    assert equal(model.backbone, resized)
    assert "backbone.embed.positions" in report.resized


def test_adapter_starts_from_plain_backbone():
    model = Detector()
    model.backbone = ViTAdapter(
        {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}, [(i, i) for i in range(4)], 8, deform_num_heads=3
    )
    source = randomized(Detector())
    start_from(model, source.state_dict())
    assert torch.equal(model.backbone.vit.layers[3].ffn.fc1.weight, source.backbone.layers[3].ffn.fc1.weight)
    assert torch.equal(model.head.weight, source.head.weight)


def test_unsuitable_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no weights for BEiT3Vision: the file has names such as a\.weight"):
        start_from(Detector(), {"a.weight": torch.ones(2)})
    torch.save({"a.weight": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"checkpoint '.*a\.pth' has no weights for BEiT3Vision"):
        start_from(Detector(), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"has no weights for Linear: .* the model has names such as weight"):
        start_from(nn.Linear(2, 2), {"a.weight": torch.ones(2)})
    other = BEiT3Vision({**ARCH, "embed_dims": 24, "num_heads": 3, "ffn_dims": 48})
    with pytest.raises(UserError, match="does not match the model: its vision tower is 24 wide with 4 layers"):
        start_from(Detector(), other.state_dict())
    model, source = Detector(), randomized(Detector())
    before = copy.deepcopy(model)
    source.head.bias.data[1] = float("nan")
    with pytest.raises(UserError, match=r"head\.bias"):
        start_from(model, source.state_dict())
    assert equal(model, before)


@pytest.mark.parametrize("kind", [CheckedRunner, Runner])
def test_runner_starts_from_official_file(tmp_path, kind):
    """MMEngine's runner loads nothing, which shows that the test can fail."""
    network = randomized(BEiT3(ARCH))
    torch.save({"model": LAYOUTS["official"].to_theirs(network.state_dict())}, tmp_path / "official.pth")
    model = Detector()
    runner = kind(
        model,
        str(tmp_path),
        load_from=str(tmp_path / "official.pth"),
        default_scope="mmengine",
        experiment_name=f"{tmp_path}-{kind.__name__}",
        cfg=Config({}),
    )
    runner.load_or_resume()
    loaded = torch.equal(model.backbone.layers[0].ffn.fc1.weight, network.vision.layers[0].ffn.fc1.weight)
    assert loaded == (kind is CheckedRunner)
