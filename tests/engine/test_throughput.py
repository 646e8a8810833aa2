"""Throughput, share of the peak, wait for data and memory in the log."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch.utils.checkpoint import checkpoint

from mmbeit3.engine.hooks import ThroughputHook, throughput
from mmbeit3.profiling.flops import count_flops
from tests.paths import ROOT
from tests.processes import run_together

SIDE = 8
DATA, STEP, OTHER, VAL = 1.0, 3.0, 0.5, 100.0
"""Seconds of a batch, a step, another hook and validation by the fake clock."""
PEAK = 1e3
"""Pretended GFLOP/s of the machine."""


class Clock:
    now = 0.0

    def __call__(self):
        return Clock.now


class Images(torch.utils.data.Dataset):
    def __init__(self, sides):
        self.sides = sides

    def __len__(self):
        return len(self.sides)

    def __getitem__(self, index):
        return torch.ones(3, self.sides[index], self.sides[index])


def collate(images):
    Clock.now += DATA
    return {"inputs": images}


class Model(BaseModel):
    def __init__(self, with_cp=False):
        super().__init__()
        self.with_cp = with_cp
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 1))

    def forward(self, inputs, mode="loss"):
        side = max(image.shape[-1] for image in inputs)
        batch = torch.stack([torch.nn.functional.pad(image, (0, side - image.shape[-1]) * 2) for image in inputs])
        if mode == "predict":
            Clock.now += VAL
            return list(batch)
        Clock.now += STEP
        out = checkpoint(self.layers, batch, use_reentrant=False) if self.with_cp else self.layers(batch)
        return {"loss": out.square().mean()}


class Slow(Hook):
    """Another hook that takes time after a step, such as one that saves checkpoints."""

    priority = "VERY_LOW"

    def after_train_iter(self, *args, **kwargs):
        Clock.now += OTHER


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(throughput, "perf_counter", Clock())
    monkeypatch.setattr(throughput, "matrix_peak", lambda device, dtype, sizes, seconds: PEAK)
    # It collects the versions of compilers, which takes most of the time of these tests.
    monkeypatch.setattr(Runner, "_log_env", lambda *args: None)


def make_runner(folder, sides=(SIDE,) * 12, iterations=6, by_epoch=False, model=None, cfg=None, hooks=None, **options):
    loop = {"max_epochs": 2} if by_epoch else {"max_iters": iterations}
    given = {
        "train_dataloader": torch.utils.data.DataLoader(Images(sides), batch_size=2, collate_fn=collate),
        "train_cfg": {"by_epoch": by_epoch, **loop},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.01}, **options.pop("wrapper", {})},
        "default_hooks": {"logger": {"type": "LoggerHook", "interval": 1}},
        "custom_hooks": [ThroughputHook(), Slow()] if hooks is None else hooks,
        "log_processor": {"by_epoch": by_epoch},
        "default_scope": "mmengine",
        "experiment_name": str(folder),
    }
    return Runner(model or Model(), str(folder), cfg=Config(cfg), **{**given, **options})


def logged(folder):
    """Return the scalars that the visualizer's backend received, one dict per logged iteration."""
    (path,) = folder.glob("*/vis_data/scalars.json")
    return [row for row in map(json.loads, path.read_text().splitlines()) if "loss" in row]


def flops(model, sides=(SIDE, SIDE)):
    images = [torch.ones(3, side, side) for side in sides]
    return count_flops(lambda: model(images)["loss"].backward())[1]


@pytest.mark.parametrize(("by_epoch", "options"), [(False, {}), (True, {"with_cp": True})])
def test_values(tmp_path, by_epoch, options):
    make_runner(tmp_path, by_epoch=by_epoch, model=Model(**options)).train()
    rows = logged(tmp_path)
    assert len(rows) == (12 if by_epoch else 6)
    # The time of other hooks belongs to the iteration after them, except at the start of an epoch.
    seconds = [DATA + STEP] + [DATA + STEP + OTHER] * 5
    for number, row in enumerate(rows):
        recent = [second for i, second in enumerate((seconds * 2)[: number + 1]) if i != 2][-10:]
        assert row["images_per_s"] == pytest.approx(2 * len(recent) / sum(recent))
        assert row["data_wait"] == pytest.approx(100 * DATA * len(recent) / sum(recent))
        assert row["memory"] > 10
        if number < 2:
            assert "mfu" not in row
        else:
            assert row["mfu"] == pytest.approx(100 * flops(Model(**options)) * len(recent) / sum(recent) / (PEAK * 1e9))
    assert flops(Model(with_cp=True)) > flops(Model())


class Switched(Model):
    """A model with compiled blocks, whose steps note whether the blocks were compiled."""

    def __init__(self):
        super().__init__()
        self.compile_blocks = True
        self.steps = []

    def forward(self, *args, **kwargs):
        self.steps.append(self.compile_blocks)
        return super().forward(*args, **kwargs)


def test_compiled_blocks_are_counted_in_a_plain_step(tmp_path):
    model = Switched()
    make_runner(tmp_path, model=model).train()
    assert model.steps == [True, True, False, True, True, True]
    assert all("mfu" in row for row in logged(tmp_path)[2:])


def test_line_of_the_console(tmp_path):
    make_runner(tmp_path).train()
    (path,) = tmp_path.glob("*/*.log")
    line = [line for line in path.read_text().splitlines() if "Iter(train)" in line][-1]
    assert re.search(r"images_per_s: 0\.4\d+  data_wait: 22\.\d+  memory: \d+\.\d+ .*mfu: 0\.0\d+", line)


def test_sizes_that_vary(tmp_path):
    """Operations are scaled by the pixels of the padded batch; here the third has 8 x 8, the fourth 16 x 16."""
    make_runner(tmp_path, sides=[8, 8, 8, 8, 8, 8, 16, 8], iterations=4).train()
    small = flops(Model())
    # A layer of convolution without borders' effect costs in proportion to its pixels.
    assert flops(Model(), (16, 8)) == 4 * small
    seconds = 3 * (DATA + STEP) + 2 * OTHER
    assert logged(tmp_path)[-1]["mfu"] == pytest.approx(100 * (2 * small + 4 * small) / seconds / (PEAK * 1e9))


def test_validation_is_left_out(tmp_path):
    data = torch.utils.data.DataLoader(Images([SIDE] * 2), batch_size=2, collate_fn=collate)
    train = {"by_epoch": False, "max_iters": 6, "val_interval": 2}
    make_runner(tmp_path, train_cfg=train, val_dataloader=data, val_evaluator=Evaluator([]), val_cfg={}).train()
    assert Clock.now > 3 * VAL
    row = logged(tmp_path)[-1]
    assert row["images_per_s"] == pytest.approx(2 * 5 / (5 * (DATA + STEP) + 4 * OTHER))
    assert row["data_wait"] == pytest.approx(100 * 5 * DATA / (5 * (DATA + STEP) + 4 * OTHER))


def test_accumulated_gradients(tmp_path):
    make_runner(tmp_path, wrapper={"accumulative_counts": 3}).train()
    row = logged(tmp_path)[-1]
    assert row["images_per_s"] == pytest.approx(2 * 5 / (5 * (DATA + STEP) + 4 * OTHER))
    assert row["mfu"] == pytest.approx(100 * 5 * flops(Model()) / (5 * (DATA + STEP) + 4 * OTHER) / (PEAK * 1e9))


def test_resume(tmp_path):
    """A resumed training counts once more, and its means contain only its own iterations."""
    runner = make_runner(tmp_path / "first")
    runner.train()
    runner.save_checkpoint(str(tmp_path), "last.pth", by_epoch=False)
    Clock.now += 1000
    resumed = make_runner(tmp_path / "second", iterations=11, resume=True, load_from=str(tmp_path / "last.pth"))
    resumed.train()
    rows = logged(tmp_path / "second")
    assert [row["iter"] for row in rows] == [8, 9, 10, 11]
    assert rows[-1]["images_per_s"] == pytest.approx(2 * 3 / (3 * (DATA + STEP) + 2 * OTHER))
    assert rows[-1]["mfu"] == pytest.approx(100 * 3 * flops(Model()) / (3 * (DATA + STEP) + 2 * OTHER) / (PEAK * 1e9))


@pytest.mark.parametrize("how", ["config", "part"])
def test_compiled_models_have_no_mfu(tmp_path, how):
    model = Model()
    if how == "part":
        model.layers.compile(backend="eager")
    runner = make_runner(tmp_path, model=model, cfg={"compile": {"backend": "eager"}} if how == "config" else None)
    runner.train()
    row = logged(tmp_path)[-1]
    assert "mfu" not in row
    assert row["images_per_s"] > 0
    (path,) = tmp_path.glob("*/*.log")
    assert path.read_text().count("the log has no mfu: operations of compiled models cannot be counted") == 1


def test_error_in_the_counted_step_leaves_no_counter(tmp_path):
    class Failing(Model):
        def forward(self, inputs, mode="loss"):
            if len(steps) == 2:
                raise KeyError("broken")
            steps.append(mode)
            return super().forward(inputs, mode)

    steps = []
    runner = make_runner(tmp_path, model=Failing())
    with pytest.raises(KeyError, match="broken"):
        runner.train()
    assert "train_step" not in vars(runner.model)
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()


def test_operators_without_a_usable_formula(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("no such shape")

    monkeypatch.setitem(torch.utils.flop_counter.flop_registry, torch.ops.aten.convolution, broken)
    make_runner(tmp_path).train()
    assert "mfu" not in logged(tmp_path)[-1]
    (path,) = tmp_path.glob("*/*.log")
    assert "the log has no mfu: the operations of a step cannot be counted (no such shape)" in path.read_text()


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"inputs": [torch.zeros(3, 4, 6), torch.zeros(3, 5, 2)]}, (2, 60)),
        ({"inputs": torch.zeros(2, 3, 4, 5)}, (2, 40)),
        (
            {"inputs": {"image": torch.zeros(2, 3, 4, 5), "image2": torch.zeros(2, 3, 4, 5), "tokens": torch.zeros(2, 9)}},
            (4, 80),
        ),
        ({"inputs": {"images": {"image": torch.zeros(3, 3, 2, 2), "masked_positions": torch.zeros(3, 2, 2)}}}, (3, 12)),
        ({"inputs": {"texts": {"tokens": torch.zeros(3, 9)}}}, (0, 0)),
        ([torch.zeros(2, 3, 4, 5)], (None, None)),
    ],
)
def test_images_of_a_batch(batch, expected):
    assert throughput._count_images(batch) == expected


def test_one_line_turns_it_off(tmp_path):
    (tmp_path / "mine.py").write_text(f"_base_ = '{ROOT}/configs/_base_/tasks.py'\n_base_.custom_hooks.pop(2)\n")
    (tmp_path / "theirs.py").write_text(f"_base_ = '{ROOT}/configs/_base_/tasks.py'\n")
    mine, theirs = (
        [hook.type for hook in Config.fromfile(tmp_path / f"{name}.py").custom_hooks] for name in ("mine", "theirs")
    )
    assert theirs == [*mine, "mmbeit3.ThroughputHook"]


def member(rank, folder):
    folder = Path(folder)
    runner = make_runner(folder, model=MMDistributedDataParallel(Model(), device_ids=None))
    runner.train()
    if rank == 0:
        row = logged(folder)[-1]
        seconds = 5 * (DATA + STEP) + 4 * OTHER
        assert row["images_per_s"] == pytest.approx(2 * 2 * 5 / seconds)
        assert row["mfu"] == pytest.approx(100 * 5 * flops(Model()) / seconds / (PEAK * 1e9))


def test_two_processes(tmp_path):
    """Images of all ranks, operations of one."""
    run_together(member, tmp_path, start_method="fork")


def test_weights_and_random_numbers_do_not_change(tmp_path, monkeypatch):
    monkeypatch.undo()
    weights = []
    for name, hooks in (("on", None), ("off", [Slow()])):
        torch.manual_seed(0)
        model = Model()
        make_runner(tmp_path / name, model=model, hooks=hooks, randomness={"seed": 0}).train()
        weights.append(torch.cat([*(p.detach().flatten() for p in model.parameters()), torch.rand(1)]))
    assert torch.equal(*weights)
