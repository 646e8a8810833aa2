"""What a config lacks is said before anything is built."""

import pytest
from mmengine.config import Config

from mmbeit3.apis import runner
from mmbeit3.errors import UserError


def test_mmpretrain_is_missing(monkeypatch):
    cfg = Config({"train_dataloader": {"dataset": {"pipeline": [{"type": "mmpretrain.CenterCrop"}]}}})
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'mmpretrain.CenterCrop' is mmpretrain's, .* pip install 'mmbeit3\[tasks\]'"):
        runner.build_runner(cfg, ())
