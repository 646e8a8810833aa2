"""Folders and indexes of weights, and files that are mistaken for checkpoints."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import save_file

from mmbeit3.checkpoint import read_lazily, read_state_dict, read_training
from mmbeit3.checkpoint.guard import load_from_safe_reader
from mmbeit3.errors import UserError

TENSORS = {f"layer.{i}.weight": torch.full((3, 2), float(i)) for i in range(4)}


def write_shards(folder, kind, places=None, leave_out=()):
    suffix, save = {
        "safetensors": (".safetensors", save_file),
        "bin": (".bin", torch.save),
    }[kind]
    stem = "model" if kind == "safetensors" else "pytorch_model"
    names = [f"{stem}-0000{number}-of-00002{suffix}" for number in (1, 2)]
    for number, name in enumerate(names):
        part = {key: tensor for i, (key, tensor) in enumerate(TENSORS.items()) if i % 2 == number}
        if name not in leave_out:
            save(part, folder / name)
    places = places or {key: names[i % 2] for i, key in enumerate(TENSORS)}
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 96}, "weight_map": places}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(tmp_path, kind):
    index = write_shards(tmp_path, kind)
    for source in (tmp_path, index, str(index)):
        found = read_state_dict(source)
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    lazily = read_lazily(tmp_path)
    assert all(torch.equal(lazily[name].load(), TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_faulty_shards(tmp_path, kind):
    suffix = {"safetensors": "model-00002-of-00002.safetensors", "bin": "pytorch_model-00002-of-00002.bin"}[kind]
    write_shards(tmp_path, kind, leave_out=[suffix])
    with pytest.raises(UserError, match=rf"is incomplete: its index lists '{suffix}', .* \(1 of 2 files are missing\)"):
        read_state_dict(tmp_path)
    index = write_shards(tmp_path, kind)
    places = json.loads(index.read_text())["weight_map"]
    (tmp_path / suffix).write_bytes((tmp_path / suffix).read_bytes()[:-7])
    with pytest.raises(UserError, match=rf"{suffix}' is damaged"):
        read_state_dict(tmp_path)
    for changed, message in (
        ({**places, "more": suffix}, "does not match .*index.json': more is in"),
        (
            {key: value for key, value in places.items() if not key.startswith("layer.3")},
            "does not match .*index.json': layer.3.weight is in",
        ),
        ({**places, "layer.0.weight": "../secret.bin"}, "which is not the name of a file in its folder"),
        ({**places, "layer.0.weight": "/etc/passwd"}, "which is not the name of a file in its folder"),
        ({**places, "layer.0.weight": 3}, "which is not the name of a file in its folder"),
        ([], "is not an index of weights"),
    ):
        write_shards(tmp_path, kind)
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(UserError, match=message):
            read_state_dict(tmp_path)
    for text in ("", "{}", "[[[", "\x00"):
        index.write_text(text)
        with pytest.raises(UserError, match="is not an index of weights"):
            read_state_dict(tmp_path)


@pytest.mark.parametrize("read", [read_state_dict, read_training, read_lazily, load_from_safe_reader])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", "is a Git LFS pointer.*git lfs pull"),
        ("<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is a web page"),
        ("\n <html lang=en>", "is a web page"),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        ('{"weight_map": {"a": "b"}}', "is JSON text"),
        ("", "is empty"),
    ],
)
def test_files_mistaken_for_checkpoints(tmp_path, read, content, message):
    path = tmp_path / "model.pth"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        read(path)
    assert "weights_only" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_pytorch_advice_to_disable_protection_is_removed(tmp_path):
    """PyTorch gives this advice for objects, unknown opcodes and TorchScript archives."""
    paths = [tmp_path / name for name in ("object.pth", "opcode.pth", "script.pth")]
    torch.save({"a": subprocess.Popen}, paths[0])
    paths[1].write_bytes(b"\x80\x04\x97.")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), paths[2])
    for path in paths:
        with pytest.raises(UserError) as refused:
            read_state_dict(path)
        assert "weights_only" not in str(refused.value)


def test_wrappers_inside_names_are_removed(tmp_path):
    torch.save(
        {"_orig_mod.layer.weight": torch.ones(2), "head._orig_mod._fsdp_wrapped_module.bias": torch.ones(1)}, tmp_path / "a"
    )
    assert set(read_state_dict(tmp_path / "a")) == {"layer.weight", "head.bias"}
    torch.save({"_orig_mod.layer.weight": torch.ones(2), "layer.weight": torch.ones(1)}, tmp_path / "b")
    with pytest.raises(UserError, match="has the same tensor twice"):
        read_state_dict(tmp_path / "b")
