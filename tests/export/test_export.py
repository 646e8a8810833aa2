"""Errors of the export, after which nothing is written."""

import pytest
import torch
from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.export import FORMATS, build_backbone, compare_backbone_outputs, export_backbone, least_side
from mmbeit3.export import export as module
from mmbeit3.export.export import _Format
from tests.export.models import ARCH, adapter, plain


def config(tmp_path, backbone):
    path = tmp_path / "config.py"
    path.write_text(f"custom_imports = dict(imports=['mmbeit3.registry'])\nmodel = dict(backbone={backbone!r})\n")
    return Config.fromfile(path)


def off_by(amount):
    """Return a format whose files are wrong by the given value in one element."""
    model = plain()

    def run(image):
        maps = [output.clone() for output in model(image)]
        maps[-1][-1, -1, -1, -1] += amount
        return tuple(maps)

    return model, _Format(lambda program, opset: b"new", lambda content: torch.no_grad()(run))


@pytest.mark.parametrize("amount", [1e-2, float("nan")])
def test_what_does_not_agree_is_not_written(tmp_path, monkeypatch, amount):
    model, form = off_by(amount)
    monkeypatch.setitem(FORMATS, "torch", form)
    monkeypatch.setattr(module, "trace", lambda model, size: None)
    path = tmp_path / "out.pt2"
    path.write_bytes(b"old")
    with pytest.raises(
        UserError, match=r"outputs of the export and the backbone differ by more than 0.0001, nothing was written: 1 x 64x64"
    ):
        export_backbone(model, path, "torch", (64, 64))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.pt2"]


def test_differences_are_those_of_each_output():
    model, form = off_by(0.5)
    (difference,) = compare_backbone_outputs(model, form.load(b""), [(2, 48, 33)])
    assert difference.size == (2, 48, 33)
    assert difference.max_errors == pytest.approx((0, 0.5), abs=1e-5)
    assert not difference.within
    with pytest.raises(ValueError, match="gives"):
        compare_backbone_outputs(model, lambda image: model(image)[:1], [(1, 32, 32)])


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="export needs PyTorch 2.7")
def test_too_small():
    model = plain()
    assert least_side(model) == 17
    assert least_side(adapter()) == 33
    with pytest.raises(UserError, match="16x64 is too small to export with: give sides of at least 17 pixels"):
        export_backbone(model, "never.pt2", "torch", (16, 64))


def test_what_onnx_needs(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("mmbeit3.export.onnx_file.find_spec", lambda name: None if name == "onnxruntime" else name)
        with pytest.raises(
            UserError, match=r"^export to ONNX needs onnxruntime, which cannot be imported: pip install 'mmbeit3\[export\]'$"
        ):
            export_backbone(plain(), "never.onnx", "onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match="opset 11 is not supported: choose one from 20"):
        export_backbone(plain(), "never.onnx", "onnx", opset=11)
    monkeypatch.setattr("mmbeit3.export.onnx_file._MAX_BYTES", 1000)
    with pytest.raises(UserError, match=r"holds at most 2 GB, but the weights have .* GB: use --to torch"):
        export_backbone(plain(), "never.onnx", "onnx")


def test_configs_without_such_a_backbone(tmp_path):
    with pytest.raises(UserError, match=r"has the backbone 'ResNet': only mmbeit3.BEiT3Vision and"):
        build_backbone(config(tmp_path, {"type": "ResNet", "depth": 50}))
    with pytest.raises(UserError, match=r"has no model.backbone"):
        build_backbone(Config({"model": {"network": {}}}))
    with pytest.raises(UserError, match=r"cannot be built: .*unknown arch 'small'"):
        build_backbone(config(tmp_path, {"type": "mmbeit3.BEiT3Vision", "arch": "small"}))


def test_weights_come_whole_or_not_at_all(tmp_path):
    backbone = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH, "init_cfg": {"type": "Pretrained", "checkpoint": "none.pth"}}
    cfg = config(tmp_path, backbone)
    model = plain()
    state = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items() if not name.startswith("norm")}
    torch.save({"state_dict": state}, tmp_path / "whole.pth")
    built, source = build_backbone(cfg, tmp_path / "whole.pth")
    assert not built.training
    assert f"{len(built.state_dict())} tensors loaded from" in source
    torch.testing.assert_close(built.layers[1].ffn.fc2.weight, model.layers[1].ffn.fc2.weight)
    state.pop("backbone.layers.1.ffn.fc2.weight")
    torch.save({"state_dict": state}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"lacks weights of the backbone .*: layers.1.ffn.fc2.weight"):
        build_backbone(cfg, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"none.pth"):
        build_backbone(cfg)
