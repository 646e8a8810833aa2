"""Missing parts of a config are reported before anything is built."""

import pytest
from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.runner import checks
from mmbeit3.runner.build import build_runner


@pytest.mark.parametrize(
    ("cfg", "reason"),
    [
        (
            {"train_dataloader": {"dataset": {"pipeline": [{"type": "mmpretrain.CenterCrop"}]}}},
            r"'mmpretrain.CenterCrop' needs mmpretrain, .* pip install 'mmbeit3\[tasks\]'",
        ),
        ({"default_scope": "mmseg"}, r"default_scope 'mmseg' needs mmseg, which is not .* 'mmbeit3\[seg\]'"),
        ({"model": {"head": [{"type": "mmdet.Mask2FormerHead"}]}}, r"'mmdet.Mask2FormerHead' .* 'mmbeit3\[det\]'"),
    ],
)
def test_a_library_is_missing(monkeypatch, cfg, reason):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=reason):
        build_runner(Config(cfg), ())
