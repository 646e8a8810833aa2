"""A run that is killed while saving leaves a checkpoint to resume from."""

import signal
import subprocess
import sys

import pytest

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.engine.hooks import SafeCheckpointHook
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically

RUN = """
import os, signal, sys
import mmbeit3.registry
import mmbeit3.engine.hooks.safe_checkpoint as module
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
    def forward(self, x, mode):
        return {"loss": self.layer(x).square().sum()}

kill_at, moment, work_dir = int(sys.argv[1]), sys.argv[2], sys.argv[3]
writes = [0]
replace = module.Path.replace
def counted(self, target):
    if str(target).endswith(".pth"):
        writes[0] += 1
    if writes[0] == kill_at and str(target).endswith(moment):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
module.Path.replace = counted
runner = Runner(
    Model(), work_dir, train_dataloader=torch.utils.data.DataLoader([dict(x=torch.ones(2))] * 4, batch_size=1),
    train_cfg=dict(by_epoch=True, max_epochs=5), optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
    default_hooks=dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", interval=1, max_keep_ckpts=2)),
    resume=True, default_scope="mmengine", experiment_name="x")
runner.train()

"""


def run(folder, kill_at, moment):
    return subprocess.run(
        [sys.executable, "-c", RUN, str(kill_at), moment, str(folder)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("moment", [".pth", "last_checkpoint"])
def test_killed_while_saving(tmp_path, moment):
    killed = run(tmp_path, 4, moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = (tmp_path / "last_checkpoint").read_text()
    assert last.endswith("epoch_3.pth")
    assert set(read_state_dict(last)) == {"layer.weight", "layer.bias"}
    resumed = run(tmp_path, 0, moment)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed epoch: 3" in resumed.stdout + resumed.stderr
    assert (tmp_path / "last_checkpoint").read_text().endswith("epoch_5.pth")
    assert sorted(p.name for p in tmp_path.glob("epoch_*.pth")) == ["epoch_4.pth", "epoch_5.pth"]


@pytest.mark.parametrize("number", [0, 1])
def test_one_checkpoint_is_not_enough(number):
    with pytest.raises(ValueError, match="at least 2"):
        SafeCheckpointHook(interval=1, max_keep_ckpts=number)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"old")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match="file' cannot be written: disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
