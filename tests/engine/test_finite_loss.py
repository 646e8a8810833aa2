"""A loss that is NaN or infinite stops training, or the step is skipped. Good checkpoints are kept."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.engine.hooks import FiniteLossHook
from mmbeit3.errors import UserError
from tests.processes import run_together

NAN, INF = float("nan"), float("inf")


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, x, mode, img_path=None):
        return {"loss_a": (self.weight * x).sum(), "loss_b": self.weight.square().sum()}


def make_runner(folder, values, skip=0, hooks=None, wrapper=None):
    data = [{"x": torch.tensor(float(value)), "img_path": f"{number}.jpg"} for number, value in enumerate(values)]
    loader = torch.utils.data.DataLoader(data, batch_size=1, collate_fn=lambda batch: batch[0])
    return Runner(
        Model(),
        str(folder),
        train_dataloader=loader,
        train_cfg={"by_epoch": False, "max_iters": len(values)},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.01}, **(wrapper or {})},
        default_hooks={"checkpoint": {"type": "mmbeit3.SafeCheckpointHook", "interval": 1, "by_epoch": False}},
        custom_hooks=[FiniteLossHook(skip)] if hooks is None else hooks,
        default_scope="mmengine",
        experiment_name=str(folder),
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_stops_and_says_where(tmp_path, value):
    runner = make_runner(tmp_path, [1, 1, 1, 1, value, 1, 1, 1, 1])
    with pytest.raises(UserError, match=rf"^step 5: loss {value}, loss_a {value} \(on '4.jpg'\).*iter_4.pth'.*skip=10"):
        runner.train()
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["iter_2.pth", "iter_3.pth", "iter_4.pth"]
    assert all(torch.isfinite(t).all() for path in tmp_path.glob("*.pth") for t in read_state_dict(path).values())


def test_leaves_steps_out(tmp_path):
    """Skipped steps change nothing."""
    make_runner(tmp_path / "with", [1, 2, NAN, INF, 3], skip=2).train()
    make_runner(tmp_path / "without", [1, 2, 3]).train()
    found, expected = (read_state_dict(tmp_path / name) for name in ("with/iter_5.pth", "without/iter_3.pth"))
    assert torch.equal(found["weight"], expected["weight"])


def test_stops_after_so_many(tmp_path):
    runner = make_runner(tmp_path, [1, NAN, NAN, 1, NAN, NAN, NAN, 1], skip=2)
    with pytest.raises(UserError, match="step 7: loss nan"):
        runner.train()
    assert torch.isfinite(runner.model.weight).all()


def test_accumulated_gradients(tmp_path):
    """Updates stay at multiples of accumulative_counts, and gradients before a skipped step are kept."""
    make_runner(tmp_path, [1, NAN, 2, 3, NAN, NAN, 4], skip=2, wrapper={"accumulative_counts": 2}).train()
    wanted = 1.0
    for values, counts in (([1], 2), ([2, 3], 2), ([4], 1)):
        wanted -= 0.01 * sum(value + 2 * wanted for value in values) / counts
    assert read_state_dict(tmp_path / "iter_7.pth")["weight"].tolist() == pytest.approx([wanted] * 2)


def worker(rank, folder):
    model = DistributedDataParallel(torch.nn.Linear(1, 1, bias=False))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    FiniteLossHook(skip=5).before_train(SimpleNamespace(optim_wrapper=wrapper))
    before = model.module.weight.item()
    steps = []
    for value in ([1.0, 1.0], [NAN, 1.0], [1.0, 1.0]):
        wrapper.update_params(model(torch.tensor([[value[rank]]])).sum())
        steps.append(round((before - model.module.weight.item()) / 0.1))
    assert steps == [1, 1, 2]


def test_ranks_leave_a_step_out_together(tmp_path):
    run_together(worker, tmp_path)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """Infinite gradients of finite losses are noticed one step later."""

    class Overflowing(Model):
        def forward(self, x, mode, img_path=None):
            root = (self.weight - 1).abs().sum().sqrt()  # its gradient at 0 is infinite times 0
            return {"loss": root if x < 0 else self.weight.sum()}

    runner = make_runner(tmp_path, [-1, 1, 1])
    runner.model = Overflowing()
    with pytest.raises(UserError, match="checkpoint 1 was not saved: 'weight' is no longer finite"):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))


def test_other_values_may_be_no_numbers(tmp_path):
    """Other logged values may be NaN: they do not stop training or skip a step."""

    class Counting(Model):
        def forward(self, x, mode, img_path=None):
            return {"loss": self.weight.sum(), "accuracy": x * NAN}

    runner = make_runner(tmp_path, [1, 1])
    runner.model = Counting()
    runner.train()
    assert runner.iter == 2


def test_settings_are_checked():
    with pytest.raises(ValueError, match="must not be negative"):
        FiniteLossHook(-1)
