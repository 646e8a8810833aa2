"""A training that is killed and resumed many times gives the same weights as an undisturbed one."""

import hashlib
import os
import random
import signal
import time
import traceback
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.runner.build import build_runner
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("sentencepiece")
pytest.importorskip("webdataset")
if not hasattr(os, "fork"):
    pytest.skip("needs fork, to start training quickly", allow_module_level=True)

STEPS = 24
KILLS = 6


class Journal(Hook):
    """Record the inputs of each step."""

    def __init__(self, file):
        self.file = file

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        digest = hashlib.sha256()
        for name, stream in sorted(data_batch["inputs"].items()):
            for key, value in sorted(stream.items()):
                digest.update(f"{name}{key}{tuple(value.shape)}".encode() + value.numpy().tobytes())
        with self.file.open("a") as file:
            file.write(f"{runner.iter} {digest.hexdigest()}\n")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = make_shapes_dataset(tmp_path_factory.mktemp("kills") / "data" / "shapes-plain", train=24, val=2, size=64)
    train_text_tokenizer((folder / "texts_train.txt").read_text().splitlines(), folder / "texts.spm", 120, model_type="bpe")
    return folder


def train(folder):
    cfg = Config.fromfile(ROOT / "configs" / "pretrain" / "beit3-tiny_mdm_shapes.py")
    cfg.work_dir = str(folder)
    cfg.model.tokenizer.checkpoint = None
    cfg.train_dataloader.num_workers = 2
    for stream in cfg.train_dataloader.dataset.streams.values():
        stream.batch = 2
    cfg.model.network.arch.update(num_layers=2)
    # Random numbers drawn in a step must be the same as well.
    cfg.model.network.drop_path_rate = 0.3
    cfg.train_cfg.max_iters = STEPS
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.default_hooks.checkpoint.interval = 3
    cfg.resume = True
    cfg.log_level = "ERROR"
    cfg.experiment_name = f"run-{time.time_ns()}"
    runner = build_runner(cfg, ("train",))
    runner.register_hook(Journal(folder / "journal.txt"))
    runner.train()


def start(folder, death=None):
    """Train in a separate process and return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if death is not None:
            count, name = death
            calls = iter(range(count))
            real = getattr(os, name)

            def dying(*args, **kwargs):
                if next(calls, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            setattr(os, name, dying)
        with output_of(folder).open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            train(folder)
        status = 0
    except Exception:  # noqa: BLE001  (the parent shows it)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def output_of(folder):
    """Return the log file of a folder's process. It is outside of the folder, whose whole content is compared."""
    return folder.with_suffix(".txt")


def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def last_weights(folder):
    name = Path((folder / "last_checkpoint").read_text()).name
    assert name == f"iter_{STEPS}.pth"
    return torch.load(folder / name, weights_only=False)["state_dict"]


def journal(folder):
    """Read the inputs of each step, which must be the same each time the step is run."""
    given = {}
    for line in (folder / "journal.txt").read_text().splitlines():
        step, digest = line.split()
        assert given.setdefault(int(step), digest) == digest, f"step {step} was given something else"
    return given


def test_kills_leave_no_trace(shapes, tmp_path):
    # PyTorch cannot train in a fork of a process whose autograd used threads, as in other tests.
    torch.multiprocessing.spawn(kill_and_compare, (shapes.parent.parent, tmp_path), nprocs=1)


def kill_and_compare(_, place, tmp_path):
    os.chdir(place)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    begin = time.monotonic()
    assert end(start(undisturbed)) == 0, output_of(undisturbed).read_text()
    seconds = time.monotonic() - begin
    expected = journal(undisturbed)
    assert sorted(expected) == list(range(STEPS))
    assert len(set(expected.values())) == STEPS

    choice = random.Random(0)
    # While a file is being written, or when it is complete but does not have its final name yet.
    inside = [(choice.randrange(1, 5), "fsync"), (2, "fsync"), (choice.randrange(1, 5), "replace"), (1, "replace")]
    deaths = [*inside, *[None] * (KILLS - len(inside))]
    choice.shuffle(deaths)
    for death in deaths:
        child = start(killed, death)
        if death is None:
            time.sleep(choice.uniform(0.2, 0.8) * seconds)
            os.kill(child, signal.SIGKILL)
        assert end(child) in (-signal.SIGKILL, 0)
    assert end(start(killed)) == 0, output_of(killed).read_text()

    taken = [line.split()[0] for line in (killed / "journal.txt").read_text().splitlines()]
    assert len(taken) > STEPS
    assert journal(killed) == expected
    for name, value in last_weights(undisturbed).items():
        torch.testing.assert_close(last_weights(killed)[name], value, atol=0, rtol=0)
    assert not list(killed.glob(".*"))
