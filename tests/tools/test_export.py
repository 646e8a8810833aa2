"""The export command."""

import runpy
import sys

import pytest
import torch

from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.registry import MODELS
from tests.paths import ROOT

ARCH = {"embed_dims": 24, "num_layers": 1, "num_heads": 2, "ffn_dims": 40, "image_size": 64}


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / "export.py"), run_name="__main__")


exporting = pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="export needs PyTorch 2.7")


@pytest.fixture
def files(tmp_path):
    model = BEiT3Vision(ARCH).eval()
    torch.save({"state_dict": {f"backbone.{name}": t for name, t in model.state_dict().items()}}, tmp_path / "epoch_1.pth")
    backbone = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}
    (tmp_path / "config.py").write_text(
        f"custom_imports = dict(imports=['mmbeit3.registry'])\nmodel = dict(backbone={backbone})\n"
    )
    return model, tmp_path / "config.py", tmp_path / "epoch_1.pth"


def check_output(printed, model):
    lines = printed.splitlines()
    assert f"{len(model.state_dict())} tensors loaded from" in lines[-5]
    assert [line.partition(":")[0] for line in lines[-4:-1]] == ["1 x 64x96", "3 x 32x96", "2 x 85x142"]
    assert all("largest difference map0 " in line for line in lines[-4:-1])
    assert lines[-1].endswith(" s")


@exporting
def test_torch(files, tmp_path, monkeypatch, capsys):
    model, config, weights = files
    call(monkeypatch, config, weights, "--to", "torch", "--out", tmp_path / "new" / "b.pt2", "--size", 64, 96)
    check_output(capsys.readouterr().out, model)
    image = torch.randn(1, 3, 100, 50)
    loaded = torch.export.load(tmp_path / "new" / "b.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), model(image), atol=1e-5, rtol=0)


def test_onnx(files, tmp_path, monkeypatch, capsys):
    runtime = pytest.importorskip("onnxruntime")
    model, config, weights = files
    call(monkeypatch, config, weights, "--to", "onnx", "--out", tmp_path / "b.onnx", "--size", 64, 96, "--opset", 23)
    check_output(capsys.readouterr().out, model)
    session = runtime.InferenceSession(tmp_path / "b.onnx", providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert image.name == "image"
    assert image.shape == ["batch", 3, "height", "width"]
    pixels = torch.randn(2, 3, 16, 16)
    (found,) = session.run(["map0"], {"image": pixels.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), model(pixels)[0], atol=1e-5, rtol=0)


CLASSES = {"type": "mmbeit3.BEiT3Classification", "network": {"arch": ARCH, "num_classes": 5}}


def save_task(tmp_path, model):
    path = tmp_path / "task.py"
    path.write_text(f"custom_imports = dict(imports=['mmbeit3.registry'])\ndefault_scope = 'mmengine'\nmodel = {model}\n")
    return path


@exporting
def test_a_task(tmp_path, monkeypatch, capsys):
    torch.manual_seed(4)
    model = MODELS.build(CLASSES).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "epoch_1.pth")
    config = save_task(tmp_path, CLASSES)
    call(monkeypatch, config, tmp_path / "epoch_1.pth", "--to", "torch", "--out", tmp_path / "classes.pt2")
    lines = capsys.readouterr().out.splitlines()
    assert f"weights of {tmp_path / 'epoch_1.pth'}" in lines
    assert [line.partition(": largest difference logits ")[0] for line in lines[-4:-1]] == [
        "1 x 64x64",
        "3 x 64x64",
        "2 x 64x64",
    ]
    image = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        found = torch.export.load(tmp_path / "classes.pt2").module()(image)
        torch.testing.assert_close(found, model.network(image), atol=1e-6, rtol=1e-4)
    call(monkeypatch, config, "--to", "torch", "--out", tmp_path / "more.pt2", "--cfg-options", "model.network.num_classes=7")
    with torch.no_grad():
        assert torch.export.load(tmp_path / "more.pt2").module()(image).shape == (4, 7)


def test_captioning_ends_in_one_line(tmp_path, monkeypatch, capsys):
    config = save_task(tmp_path, {"type": "mmbeit3.BEiT3Captioning", "network": {"arch": ARCH}})
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, config, "--to", "onnx", "--out", tmp_path / "caption.onnx")
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: BEiT3Captioning cannot be exported: beam search is a loop")
    assert error.count("\n") == 1
    assert not (tmp_path / "caption.onnx").exists()


@exporting
def test_bad_input_ends_in_one_line(files, tmp_path, monkeypatch, capsys):
    _, config, _ = files
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, config, tmp_path / "none.pth", "--to", "torch", "--out", tmp_path / "b.pt2")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit):
        call(monkeypatch, config, "--to", "torch", "--out", tmp_path / "b.pt2", "--size", 10, 96)
    assert "error: an image of 10x96 is too small" in capsys.readouterr().err
    assert not (tmp_path / "b.pt2").exists()
