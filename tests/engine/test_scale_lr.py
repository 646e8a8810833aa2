"""Learning rates for the real batch, including accumulated gradients."""

import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner
from torch.utils.data import DataLoader

from mmbeit3.engine.scale_lr import scale_lr, scale_runner_lr
from mmbeit3.errors import UserError

LR = 0.01
BASE = {"base_batch_size": 16}


def config(counts=None, lr=LR):
    cfg = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": lr}}
    return ConfigDict(cfg if counts is None else {**cfg, "accumulative_counts": counts})


def built(counts=1, groups=1):
    parameters = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": LR / (1 + i)} for i in range(groups)]
    return OptimWrapper(torch.optim.SGD(parameters, lr=LR), accumulative_counts=counts)


@pytest.mark.parametrize(("counts", "world_size", "batch", "factor"), [(None, 1, 16, 1), (4, 2, 4, 2), (3, 1, 4, 0.75)])
def test_rate_of_a_config(counts, world_size, batch, factor):
    cfg = config(counts)
    before = copy.deepcopy(cfg)
    scaled = scale_lr(cfg, {"batch_size": batch}, world_size, BASE)
    assert scaled.optimizer.lr == pytest.approx(factor * LR)
    assert cfg == before
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), scaled)
    assert wrapper.param_groups[0]["lr"] == pytest.approx(factor * LR)


@pytest.mark.parametrize("groups", [1, 3])
def test_rates_of_a_built_optimizer(groups):
    wrapper = built(counts=4, groups=groups)
    assert scale_lr(wrapper, DataLoader(torch.zeros(9), batch_size=8), 1, BASE) is wrapper
    assert [group["lr"] for group in wrapper.optimizer.param_groups] == pytest.approx([2 * LR / (1 + i) for i in range(groups)])
    assert wrapper.get_lr()["base_lr" if groups > 1 else "lr"][0] == pytest.approx(2 * LR)


def test_several_optimizers_with_counts_of_their_own():
    together = OptimWrapperDict(one=built(1), other=built(4))
    scale_lr(together, {"batch_size": 16}, 1, BASE)
    assert [together[name].optimizer.param_groups[0]["lr"] for name in ("one", "other")] == pytest.approx([LR, 4 * LR])
    scaled = scale_lr({"one": built(1), "other": built(4)}, {"batch_size": 16}, 1, BASE)
    assert [scaled[name].optimizer.param_groups[0]["lr"] for name in ("one", "other")] == pytest.approx([LR, 4 * LR])
    configs = ConfigDict(constructor="Pair", one=config(), other=config(4))
    scaled = scale_lr(configs, {"batch_size": 16}, 1, BASE)
    assert [scaled[name].optimizer.lr for name in ("one", "other")] == pytest.approx([LR, 4 * LR])
    assert scaled.constructor == "Pair"
    assert configs.other.optimizer.lr == LR


def test_an_optimizer_in_a_config():
    optimizer = built().optimizer
    scale_lr({"optimizer": optimizer, "accumulative_counts": 2}, {"batch_size": 16}, 1, BASE)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * LR)


@pytest.mark.parametrize(
    "loader",
    [
        {"batch_sampler": {"type": "AspectRatioBatchSampler", "batch_size": 8}},
        {"batch_size": 2, "batch_sampler": {"type": "AspectRatioBatchSampler", "batch_size": 8}},
        {"batch_size": 8, "batch_sampler": {"type": "AspectRatioBatchSampler"}},
        DataLoader(torch.zeros(20), batch_size=8),
        DataLoader(torch.zeros(20), batch_sampler=torch.utils.data.BatchSampler(range(20), 8, False)),
        {"batch_sampler": torch.utils.data.BatchSampler(range(20), 8, False)},
    ],
)
def test_where_the_batch_size_is(loader):
    assert scale_lr(config(), loader, 1, BASE).optimizer.lr == pytest.approx(LR / 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"auto_scale_lr": {}}, "needs base_batch_size.*got None"),
        ({"auto_scale_lr": {"base_batch_size": 0}}, "above 0; got 0"),
        ({"auto_scale_lr": {"base_batch_size": -8}}, "above 0; got -8"),
        ({"auto_scale_lr": {"base_batch_size": "16"}}, "got '16'"),
        ({"train_dataloader": {}}, "batch_size, which is missing"),
        ({"train_dataloader": None}, "batch_size, which is missing"),
        ({"train_dataloader": DataLoader(torch.zeros(3), batch_size=None)}, "batch_size, which is missing"),
        ({"optim_wrapper": {"optimizer": {"type": "SGD"}}}, "has lr=None"),
    ],
)
def test_what_is_missing(change, said):
    arguments = {"optim_wrapper": config(), "train_dataloader": {"batch_size": 8}, "world_size": 1, "auto_scale_lr": BASE}
    with pytest.raises(UserError, match=said) as error:
        scale_lr(**{**arguments, **change})
    assert "\n" not in str(error.value)


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return {"loss": self.layer(inputs).square().mean()}


def runner(folder, counts, enable=True, loader=None, strategy=None, base=16):
    cfg = Config(
        {
            "work_dir": str(folder),
            "train_dataloader": {
                "batch_size": 2,
                "dataset": [{"inputs": torch.ones(1)}] * 40,
                "sampler": {"type": "DefaultSampler", "shuffle": False},
                "collate_fn": {"type": "default_collate"},
                **(loader or {}),
            },
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 4},
            "optim_wrapper": config(counts),
            "auto_scale_lr": {"enable": enable, "base_batch_size": base},
            "default_hooks": {"checkpoint": None, "logger": None},
            "log_level": "WARNING",
            "experiment_name": f"{folder.name}_{counts}_{enable}_{bool(strategy)}",
            **({"strategy": strategy} if strategy else {}),
        }
    )
    kind = FlexibleRunner if strategy else Runner
    return kind(
        model=Model(),
        cfg=cfg,
        **{name: copy.deepcopy(value) for name, value in cfg.items() if name not in ("log_level", "strategy")},
        log_level="WARNING",
        **({"strategy": dict(strategy)} if strategy else {}),
    )


@pytest.mark.parametrize("strategy", [None, {"type": "SingleDeviceStrategy"}])
@pytest.mark.parametrize(("counts", "factor"), [(None, 2 / 16), (4, 8 / 16)])
def test_a_runner_trains_at_the_rate_of_its_real_batch(tmp_path, counts, factor, strategy):
    made = runner(tmp_path, counts, strategy=strategy)
    written = made.cfg.pretty_text
    scale_runner_lr(made)
    made.train()
    assert made.optim_wrapper.param_groups[0]["lr"] == pytest.approx(factor * LR)
    assert made.cfg.pretty_text == written
    assert made.cfg.auto_scale_lr == {"enable": True, "base_batch_size": 16}


def test_a_runner_whose_sampler_makes_the_batches(tmp_path):
    sampler = {"type": "torch.utils.data.BatchSampler", "batch_size": 8, "drop_last": False}
    made = runner(tmp_path, 4, loader={"batch_sampler": sampler})
    scale_runner_lr(made)
    made.train()
    assert made.train_dataloader.batch_sampler.batch_size == 8
    assert made.optim_wrapper.param_groups[0]["lr"] == pytest.approx(2 * LR)


def test_a_runner_that_shall_not_scale(tmp_path):
    made = runner(tmp_path, 4, enable=False, base=0)
    scale_runner_lr(made)
    assert made.optim_wrapper.optimizer.lr == LR


def test_runners_that_cannot_scale(tmp_path):
    with pytest.raises(UserError, match="got 0"):
        scale_runner_lr(runner(tmp_path, 4, base=0))
    made = runner(tmp_path, 4)
    made.cfg.strategy = {"type": "DeepSpeedStrategy"}
    with pytest.raises(UserError, match="DeepSpeed"):
        scale_runner_lr(made)
