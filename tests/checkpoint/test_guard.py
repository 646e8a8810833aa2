"""OpenMMLab's packages load checkpoints by the safe reader."""

import io

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_with_prefix, load_checkpoint

from mmbeit3.checkpoint import read_training
from mmbeit3.errors import UserError
from tests.checkpoint import hostile


def training_state():
    """Return a training state as MMEngine writes it, with NumPy numbers that a user may have added."""
    history = HistoryBuffer([1.5, 2.5, 3.0], [1, 1, 2], 10)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    return {
        "meta": {"epoch": 2, "iter": 8, "cfg": "import os", "dataset_meta": {"classes": ("a", "b"), "palette": [(1, 2, 3)]}},
        "state_dict": {"weight": torch.randn(2, 3), "count": torch.tensor(3)},
        "message_hub": {
            "log_scalars": {"loss": history},
            "runtime_info": {"iter": 8, "best": np.float64(0.5)},
            "resumed_keys": {},
        },
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [{"last_step": 3, "base_values": [1e-3]}],
        "numbers": [
            np.float32(2.5),
            np.int64(-3),
            np.bool_(True),
            np.arange(6, dtype=np.int32).reshape(2, 3).T,
            np.zeros((0, 2)),
        ],
    }


def same(ours, theirs):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert type(ours) is type(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(theirs, HistoryBuffer):
        assert ours.max_length == theirs.max_length
        np.testing.assert_array_equal(ours._log_history, theirs._log_history)
        np.testing.assert_array_equal(ours._count_history, theirs._count_history)
        assert ours.mean() == theirs.mean()
    elif isinstance(theirs, np.ndarray | np.generic):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    elif isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


@pytest.mark.parametrize("zipped", [True, False])
def test_training_state_round_trip(tmp_path, zipped):
    state = training_state()
    torch.save(state, tmp_path / "epoch_2.pth", _use_new_zipfile_serialization=zipped)
    read = read_training(tmp_path / "epoch_2.pth")
    same(read, state)
    assert read["numbers"][3].flags.writeable
    same(CheckpointLoader.load_checkpoint(str(tmp_path / "epoch_2.pth"), map_location="cpu"), state)


def test_numpy_1_and_2_names(tmp_path):
    """NumPy 1 and NumPy 2 write different names for the same functions."""
    state = training_state()
    data = io.BytesIO()
    torch.save(state, data, _use_new_zipfile_serialization=False)
    content = data.getvalue()
    for old, new in (
        (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"),
        (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"),
    ):
        changed = content.replace(old, new)
        (tmp_path / "old.pth").write_bytes(changed)
        same(read_training(tmp_path / "old.pth"), state)


def test_config_that_mmengine_would_run_is_removed(tmp_path):
    torch.save({"meta": {"config": "import os", "epoch": 1}, "state_dict": {"a": torch.ones(1)}}, tmp_path / "old.pth")
    assert CheckpointLoader.load_checkpoint(str(tmp_path / "old.pth"))["meta"] == {"epoch": 1}


def loaders(model):
    """Yield the functions by which OpenMMLab's packages load a path."""
    yield lambda path: CheckpointLoader.load_checkpoint(path)
    yield lambda path: load_checkpoint(model, path, map_location="cpu")
    yield lambda path: _load_checkpoint_with_prefix("backbone", path)


def test_hostile_files_through_mmengine(tmp_path):
    """Each file is refused in one line or loses its code. No code runs."""
    model = torch.nn.Linear(2, 2)
    refused = 0
    for name, content in hostile.with_code({"backbone.weight": torch.ones(2, 2)}, tmp_path / "ran"):
        path = tmp_path / f"{name}.pth"
        path.write_bytes(content)
        for load in loaders(model):
            try:
                load(str(path))
            except UserError as error:
                refused += 1
                assert str(error).isprintable()  # noqa: PT017
            except (AssertionError, KeyError, TypeError, AttributeError):
                # MMEngine raises these for files that contain something other than weights.
                refused += 1
            assert not (tmp_path / "ran").exists(), name
        path.unlink()
    assert refused >= 500


def test_arrays_of_objects_are_refused(tmp_path):
    for number, array in enumerate((np.array([{}, []], object), np.array(["text"]), np.array([b"x"]))):
        torch.save({"numbers": array}, tmp_path / f"{number}.pth")
        with pytest.raises(UserError, match=r"is damaged|was refused"):
            read_training(tmp_path / f"{number}.pth")


@pytest.mark.parametrize("address", ["torchvision://resnet50", "open-mmlab://resnet50_caffe", "https://127.0.0.1:1/a.pth"])
def test_addresses_use_the_safe_reader(address, monkeypatch):
    from mmbeit3.checkpoint import guard

    asked = []
    monkeypatch.setattr(guard, "read_training", lambda source: asked.append(source) or {"state_dict": {}})
    CheckpointLoader.load_checkpoint(address)
    assert asked
    assert asked[0].startswith(("https://", "/"))


def test_remote_storage_is_refused(monkeypatch):
    from mmengine.runner import checkpoint as mmengine_checkpoint

    if not hasattr(mmengine_checkpoint, "_safe_torch_load"):
        pytest.skip("this MMEngine reads such files by torch.load, which is safe by default")
    with pytest.raises(UserError, match="remote storage"):
        mmengine_checkpoint._safe_torch_load(io.BytesIO(b""))
