"""Saving a network as a folder, and loading it without an internet connection."""

import json

import pytest
import torch

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import BEiT3, from_pretrained, save_pretrained
from tests.goldens import ARCH

SMALL = {**ARCH, "num_layers": 2}


@pytest.fixture
def folder(tmp_path):
    save_pretrained(BEiT3(SMALL), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.parametrize(
    ("changes", "final_norm"),
    [({}, True), ({}, False), ({"attention": "shared", "num_fusion_layers": 1}, True), ({"layer_norm_eps": 1e-6}, True)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_and_load(tmp_path, changes, final_norm, dtype):
    model = BEiT3({**SMALL, **changes}, final_norm=final_norm).to(dtype)
    save_pretrained(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = from_pretrained(tmp_path)
    assert again.arch == model.arch
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert all(parameter.requires_grad for parameter in again.parameters())
    image, tokens = torch.randn(1, 3, 64, 64, dtype=dtype), torch.tensor([[0, 5, 2]])
    torch.testing.assert_close(again(image, tokens), model.eval()(image, tokens))
    assert from_pretrained(tmp_path, dtype=torch.float64).vision.embed.cls_token.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "model_type must be 'beit3'"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "unknown keys: auto_map"),
        ({"final_norm": "yes"}, "final_norm must be true or false"),
        ({"arch": [1]}, "arch must be an object"),
        ({"arch": {**SMALL, "evil": 1}}, "arch has unknown 'evil'"),
        ({"arch": {**SMALL, "embed_dims": "48"}}, "arch.embed_dims must be int, not '48'"),
        ({"arch": {**SMALL, "embed_dims": True}}, "arch.embed_dims must be int, not True"),
        ({"arch": {**SMALL, "num_heads": 5}}, "must be a multiple of num_heads"),
        ({"arch": {"embed_dims": 48}}, "missing"),
        ({"arch": {**SMALL, "num_layers": 10**12}}, "does not match model.safetensors"),
        ({"arch": {**SMALL, "vocab_size": 10**12}}, "does not match model.safetensors"),
        ({"arch": {**SMALL, "num_layers": 1}}, "config.json does not match the weights|layers"),
        ({"final_norm": False}, "config.json does not match the weights"),
    ],
)
def test_config_keys_are_checked(folder, change, said):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=said) as error:
        from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_missing_and_damaged_files(folder, tmp_path):
    with pytest.raises(UserError, match=r"config\.json is missing"):
        from_pretrained(tmp_path / "none")
    (folder / "config.json").write_text('{"model_type": "beit3", ')
    with pytest.raises(UserError, match=r"config\.json' is not valid JSON"):
        from_pretrained(folder)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"config\.json' is not valid JSON"):
        from_pretrained(folder)
    save_pretrained(BEiT3(SMALL), folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-100] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="checksum"):
        from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights of DeepSpeed or Hugging Face"):
        from_pretrained(folder)


def test_safetensors_library_reads_weights(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.get_tensor("vision.embed.cls_token").shape == (1, 1, 48)
