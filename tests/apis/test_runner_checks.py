"""What a config lacks is said before anything is built."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmbeit3.apis import runner
from mmbeit3.errors import UserError


@pytest.mark.parametrize(
    ("cfg", "reason"),
    [
        (
            {"train_dataloader": {"dataset": {"pipeline": [{"type": "mmpretrain.CenterCrop"}]}}},
            r"'mmpretrain.CenterCrop' is mmpretrain's, .* pip install 'mmbeit3\[tasks\]'",
        ),
        ({"default_scope": "mmseg"}, r"default_scope 'mmseg' is mmseg's, which is not .* 'mmbeit3\[seg\]'"),
        ({"model": {"head": [{"type": "mmdet.Mask2FormerHead"}]}}, r"'mmdet.Mask2FormerHead' .* 'mmbeit3\[det\]'"),
    ],
)
def test_a_library_is_missing(monkeypatch, cfg, reason):
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=reason):
        runner.build_runner(Config(cfg), ())


def test_load_from_a_file_of_other_names(tmp_path):
    """MMEngine would log every name and train from random weights."""
    model, path = nn.Sequential(nn.Linear(2, 2)), str(tmp_path / "backbone.pth")
    torch.save({f"blocks.{name}": tensor for name, tensor in model.state_dict().items()}, path)
    with pytest.raises(UserError, match=r"has nothing for this model: .* like blocks\.0\.bias, .* by its init_cfg$"):
        runner._check_started(model, path)
    for prefix in ("", "module."):
        torch.save({f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}, path)
        runner._check_started(model, path)
