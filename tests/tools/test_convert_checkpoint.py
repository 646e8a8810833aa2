"""The command that translates checkpoints."""

import json

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint, read_state_dict
from mmbeit3.models.beit3 import BEiT3, save_pretrained
from tests.goldens import ARCH
from tests.tools.calls import refused


@pytest.fixture
def official(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = LAYOUTS["official"].to_theirs(BEiT3(ARCH).half().state_dict())
    torch.save({"model": state, "optimizer": {"state": {}}}, "beit3.pth")
    return state


def test_there_and_back(call, official):
    assert call("convert_checkpoint", "beit3.pth", "ours.safetensors", "--to", "ours") == (0, "")
    assert read_state_dict("ours.safetensors").keys() == BEiT3(ARCH).state_dict().keys()
    assert call("convert_checkpoint", "ours.safetensors", "back.pth", "--to", "official")[0] == 0
    back = torch.load("back.pth", weights_only=True)["model"]
    assert back.keys() == official.keys()
    assert all(torch.equal(back[name], official[name]) and back[name].dtype == torch.float16 for name in back)
    assert load_checkpoint(BEiT3(ARCH), "ours.safetensors").missing == []


def test_vision_only(call, official, tmp_path, capsys):
    refused(call("convert_checkpoint", "beit3.pth", "timm.pth", "--to", "timm"), "no place for", "language", "--vision-only")
    assert not (tmp_path / "timm.pth").exists()
    assert call("convert_checkpoint", "beit3.pth", "timm.pth", "--to", "timm", "--vision-only")[0] == 0
    assert torch.load("timm.pth", weights_only=True)["pos_embed"].shape == (1, 17, 48)


def test_bad_input(call, official, tmp_path):
    refused(call("convert_checkpoint", "none.pth", "a.pth", "--to", "ours"), "'none.pth' does not exist")
    refused(call("convert_checkpoint", "beit3.pth", "a.txt", "--to", "ours"), "its suffix must be .safetensors or .pth")
    refused(call("convert_checkpoint", ".", "a.pth", "--to", "ours"), "has no weights of DeepSpeed or Hugging Face")
    official["beit3.vision_embed.cls_token"][..., 3] = float("nan")
    torch.save(official, "nan.pth")
    refused(call("convert_checkpoint", "nan.pth", "a.safetensors", "--to", "ours"), "NaN or infinity in vision.embed.cls_token")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beit3.pth", "nan.pth"]
    assert call("convert_checkpoint", "nan.pth", "a.safetensors", "--to", "ours", "--allow-nonfinite")[0] == 0


def test_the_source_is_not_overwritten(call, official, tmp_path):
    folder = tmp_path
    before = (folder / "beit3.pth").read_bytes()
    (folder / "link.pth").symlink_to("beit3.pth")
    for target in ("beit3.pth", "./beit3.pth", "link.pth"):
        refused(call("convert_checkpoint", "beit3.pth", target, "--to", "ours"), "is the input file and would be overwritten")
    assert (folder / "beit3.pth").read_bytes() == before


def test_files_of_a_source_folder_are_not_overwritten(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pretrained(BEiT3(ARCH), "hf")
    index = {"weight_map": dict.fromkeys(BEiT3(ARCH).state_dict(), "model.safetensors")}
    (tmp_path / "hf" / "model.safetensors.index.json").write_text(json.dumps(index))
    before = (tmp_path / "hf" / "model.safetensors").read_bytes()
    for source in ("hf", "hf/model.safetensors.index.json"):
        refused(call("convert_checkpoint", source, "hf/model.safetensors", "--to", "ours"), "is in the input folder and would")
        assert call("convert_checkpoint", source, "hf/official.safetensors", "--to", "official")[0] == 0
        (tmp_path / "hf" / "official.safetensors").unlink()
    assert (tmp_path / "hf" / "model.safetensors").read_bytes() == before
