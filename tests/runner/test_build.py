"""Missing parts of a config are reported before anything is built; a test downloads no initial weights."""

import pytest
from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.runner import build, checks
from mmbeit3.runner.build import build_runner
from mmbeit3.runner.runners import CheckedRunner


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


@pytest.mark.parametrize(("splits", "pretrained"), [(("test",), False), (("train", "val"), True)])
def test_only_training_downloads_initial_weights(monkeypatch, splits, pretrained):
    vit = {"type": "mmbeit3.TimmViT", "model_name": "vit_small_patch14_dinov2", "pretrained": True}
    cfg = Config({"model": {"type": "EncoderDecoder", "backbone": {"type": "mmbeit3.ViTAdapter", "vit": vit}}})
    built = []

    def from_cfg(built_cfg):
        built.append(built_cfg.model.backbone.vit.pretrained)
        raise UserError("enough")

    monkeypatch.setattr(CheckedRunner, "from_cfg", from_cfg)
    with pytest.raises(UserError, match="enough"):
        build_runner(cfg, splits)
    assert built == [pretrained]
    assert cfg.model.backbone.vit.pretrained


@pytest.mark.parametrize(
    ("kinds", "given", "wanted"), [("images", {}, True), ("images texts", {}, None), ("texts", False, False)]
)
def test_pretraining_of_one_modality_may_leave_weights_out(monkeypatch, kinds, given, wanted):
    streams = {kind: {"kind": kind} for kind in kinds.split()}
    cfg = Config({"train_dataloader": {"dataset": {"type": "mmbeit3.PretrainSteps", "streams": streams}}})
    cfg.model = {"type": "mmbeit3.BEiT3Pretrainer", "network": {}}
    if given is False:
        cfg.find_unused_parameters = given
    built = []

    def from_cfg(built_cfg):
        built.append(built_cfg.get("find_unused_parameters"))
        raise UserError("enough")

    monkeypatch.setattr(CheckedRunner, "from_cfg", from_cfg)
    monkeypatch.setattr(build, "check_config", lambda cfg, splits: None)
    with pytest.raises(UserError, match="enough"):
        build_runner(cfg, ("train",))
    assert built == [wanted]
