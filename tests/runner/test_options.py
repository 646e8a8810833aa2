"""Flags of the training: EMA, early stop, TensorBoard and W&B."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from mmbeit3.errors import UserError
from mmbeit3.registry import MODELS
from mmbeit3.runner import options
from mmbeit3.runner.options import stop_early, use_ema, use_visualizer
from mmbeit3.runner.runners import CheckedRunner


@MODELS.register_module(name="TestOptionsModel", force=True)
class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode):
        return {"loss": (self.weight * inputs).sum()}


def make_config(folder, steps, **changes):
    data = [{"inputs": torch.ones(1)} for _ in range(6)]
    cfg = Config(
        {
            "model": {"type": "mmbeit3.TestOptionsModel"},
            "work_dir": str(folder),
            "train_dataloader": torch.utils.data.DataLoader(data, batch_size=1),
            "train_cfg": {"by_epoch": False, "max_iters": steps},
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 1.0}},
            "default_hooks": {"checkpoint": {"type": "mmbeit3.SafeCheckpointHook", "interval": 3, "by_epoch": False}},
            "default_scope": "mmengine",
            **changes,
        }
    )
    use_ema(cfg)
    return cfg


def train(cfg, name):
    settings = {key: value for key, value in cfg.items() if key != "train_dataloader"}
    CheckedRunner(**settings, train_dataloader=cfg.train_dataloader, experiment_name=name).train()
    return torch.load(f"{cfg.work_dir}/iter_{cfg.train_cfg.max_iters}.pth", weights_only=False)


def test_ema_averages_and_resumes(tmp_path):
    """The weight falls by 1 in each step; the average is that of the formula, also after a resume."""
    whole = train(make_config(tmp_path / "whole", 6), f"{tmp_path}-whole")
    train(make_config(tmp_path / "parts", 3), f"{tmp_path}-1")
    parts = train(make_config(tmp_path / "parts", 6, resume=True), f"{tmp_path}-2")
    average = -1.0  # the first update copies the weight
    for step in range(1, 6):
        momentum = max(0.0002, 10 / (10 + step))
        average = (1 - momentum) * average + momentum * -(step + 1)
    for checkpoint in (whole, parts):
        assert checkpoint["state_dict"]["weight"].item() == pytest.approx(average, rel=1e-5)
        assert checkpoint["ema_state_dict"]["module.weight"].item() == -6


def test_ema_refuses_sharded_weights():
    with pytest.raises(UserError, match="--ema does not work with a strategy"):
        use_ema(Config({"strategy": {"type": "mmbeit3.FullyShardedStrategy"}}))


def test_early_stop_monitors_the_best_checkpoints_score():
    cfg = Config({"val_dataloader": {"a": 1}, "default_hooks": {"checkpoint": {"save_best": "mIoU", "rule": "greater"}}})
    stop_early(cfg, 3)
    assert cfg.custom_hooks == [{"type": "mmbeit3.EarlyStopHook", "patience": 3, "monitor": "mIoU", "rule": "greater"}]
    cfg = Config({"val_dataloader": {"a": 1}, "custom_hooks": [{"type": "Other"}]})
    stop_early(cfg, 1)
    assert cfg.custom_hooks == [{"type": "Other"}, {"type": "mmbeit3.EarlyStopHook", "patience": 1}]
    with pytest.raises(UserError, match="at least 1"):
        stop_early(cfg, 0)
    with pytest.raises(UserError, match="needs validation"):
        stop_early(Config({}), 1)


def test_visualizers(monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: object())
    cfg = Config({})
    use_visualizer(cfg, "tensorboard")
    use_visualizer(cfg, "tensorboard")
    use_visualizer(cfg, "wandb")
    types = [backend["type"] for backend in cfg.visualizer.vis_backends]
    assert types == ["LocalVisBackend", "TensorboardVisBackend", "WandbVisBackend"]
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install wandb"):
        use_visualizer(cfg, "wandb")
