"""Hostile and damaged files: correct weights are loaded, or one line names the error. No code runs, no file is written."""

import itertools
import pickle

import pytest
import torch

from mmbeit3.checkpoint import convert, load_checkpoint, read_lazily, write_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import BEiT3
from tests.checkpoint import hostile
from tests.goldens import ARCH

SMALL = {**ARCH, "num_layers": 1, "vocab_size": 20, "image_size": 32, "max_text_positions": 8}


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(1)
    return {name: torch.randn_like(tensor) for name, tensor in BEiT3(SMALL).state_dict().items()}


@pytest.fixture(scope="module")
def model():
    return BEiT3(SMALL)


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def outcome(path, model, weights):
    """Load a file into a model. Returns True if it was loaded with the right weights, False if it was refused in one line."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    try:
        report = load_checkpoint(model, path)
    except UserError as error:
        message = str(error)
        assert message
        assert message.isprintable(), message
        assert len(message) < 1500
        assert all(bool((parameter == 7).all()) for parameter in model.parameters())
        return False
    assert str(report).isprintable()
    assert report.missing == []
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items()), path.name
    return True


def run(folder, cases, model, weights):
    """Return the outcome of each case by its name. Loading must not create other files."""
    place = folder / "deep" / "er"
    place.mkdir(parents=True)
    before = tree(folder)
    outcomes = {}
    for name, content in cases:
        path = place / f"{name}.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save({"model": content}, path)
        outcomes[name] = outcome(path, model, weights)
        path.unlink()
        assert tree(folder) == before, name
    return outcomes


@pytest.mark.filterwarnings("ignore")
def test_files_with_code(tmp_path, weights, model):
    outcomes = run(tmp_path, hostile.with_code(weights, tmp_path / "ran"), model, weights)
    assert len(outcomes) >= 190
    loaded = {name for name, done in outcomes.items() if done}
    # Accepted and dropped: the name of a log's statistic, and the unpickling of a NumPy array.
    assert {name.split("_")[1] for name in loaded} <= {"26", "29"}
    assert sum(not done for done in outcomes.values()) >= 185


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("place", range(6))
def test_payloads_run_when_unpickled(tmp_path, number, place):
    """The same content runs code with unrestricted unpickling."""
    payload = next(itertools.islice(hostile.payloads(tmp_path / "ran"), number, None))
    content = list(hostile.wraps({}, payload))[place]
    pickle.loads(hostile._pickled(content))
    assert (tmp_path / "ran").exists()


def test_config_in_checkpoint_does_not_run(tmp_path, weights, model):
    code = f"import os; os.system('touch {tmp_path / 'ran'}')"
    content = {"state_dict": weights, "meta": {"cfg": code, "config": code, "epoch": 3}}
    torch.save(content, tmp_path / "epoch_3.pth")
    assert outcome(tmp_path / "epoch_3.pth", model, weights)
    write_checkpoint(convert(read_lazily(tmp_path / "epoch_3.pth"), "official").tensors, tmp_path / "out.safetensors")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["epoch_3.pth", "out.safetensors"]


def test_truncated_and_bit_flipped_files(tmp_path, weights, model):
    files = {
        "pth": hostile.saved(weights, None),
        "safetensors": hostile.saved(weights, tmp_path / "whole.safetensors"),
    }
    (tmp_path / "whole.safetensors").unlink()
    outcomes = run(tmp_path, hostile.damaged(files), model, weights)
    assert len(outcomes) == 110
    assert not any(done for name, done in outcomes.items() if name.startswith("cut"))
    # Some bits have no effect, e.g. those of dates and padding in archives.
    flips = [done for name, done in outcomes.items() if name.startswith("flip") and name.endswith("safetensors")]
    assert len(flips) == 36
    assert sum(flips) <= 1


def test_false_headers_and_archives(tmp_path, weights, model):
    cases = itertools.chain(hostile.bad_headers(), hostile.bad_zips(hostile.saved(weights, None)))
    outcomes = run(tmp_path, cases, model, weights)
    assert len(outcomes) >= 23
    assert {name for name, done in outcomes.items() if done} <= {"outside", "absolute", "renamed"}


def test_wrong_sizes_types_numbers_and_keys(tmp_path, weights, model):
    outcomes = run(tmp_path, hostile.bad_states(weights), model, weights)
    assert len(outcomes) == 49
    assert {name for name, done in outcomes.items() if done} == {f"key_{number}" for number in range(len(hostile.KEYS))}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_path_like_keys_create_no_files(tmp_path, weights, suffix):
    """Also when a file is converted."""
    place = tmp_path / "deep" / "er"
    place.mkdir(parents=True)
    torch.save({**weights, **{key: torch.ones(2) for key in hostile.KEYS}}, place / "in.pth")
    write_checkpoint(convert(read_lazily(place / "in.pth"), "official").tensors, place / f"out.{suffix}")
    assert len(tree(tmp_path)) == 4
    assert set(hostile.KEYS) <= read_lazily(place / f"out.{suffix}").keys()


def test_file_without_checksums(tmp_path, weights, model):
    """``torch.save`` can omit checksums. Such files are accepted."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights, tmp_path / "unchecked.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert outcome(tmp_path / "unchecked.pth", model, weights)
