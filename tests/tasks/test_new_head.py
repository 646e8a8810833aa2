"""Fine-tuning for other classes or answers: the head of the checkpoint is skipped, and all other weights are loaded."""

import pytest
import torch
from mmengine.logging import MMLogger

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.registry import MODELS
from tests.tasks.reference import SMALL, official_file

KINDS = {
    "classes": (
        {"type": "mmbeit3.BEiT3Classification", "network": {"arch": SMALL, "num_classes": 7}},
        {"num_classes": 3},
        "fc_norm.",
    ),
    "answers": ({"type": "mmbeit3.BEiT3VQA", "network": {"arch": SMALL}, "num_answers": 7}, {"num_answers": 3}, "pooler."),
}


def build(cfg, changes=None, **init_cfg):
    cfg = {**cfg, "network": dict(cfg["network"])}
    (cfg["network"] if "num_classes" in cfg["network"] else cfg).update(changes or {})
    model = MODELS.build({**cfg, "init_cfg": {"type": "Pretrained", **init_cfg} if init_cfg else None})
    for name, parameter in model.network.named_parameters():
        if not init_cfg and name.startswith("head."):
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("same_number", [True, False])
def test_other_classes(kind, official, same_number, tmp_path, caplog):
    cfg, changes, kept = KINDS[kind]
    changes = {} if same_number else changes
    trained = build(cfg)
    if official:
        path = official_file(LAYOUTS["official"].to_theirs(trained.network.state_dict()), tmp_path)
    else:
        path = tmp_path / "own.pth"
        torch.save({"state_dict": trained.state_dict()}, path)
    model = build(cfg, changes, checkpoint=str(path), new_head=True)
    before = {name: tensor.clone() for name, tensor in model.network.head.state_dict().items()}
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        model.init_weights()
    finally:
        logger.removeHandler(caplog.handler)
    after = model.network.state_dict()
    assert all(torch.equal(after[f"head.{name}"], tensor) for name, tensor in before.items())
    rest = {name: tensor for name, tensor in trained.network.state_dict().items() if not name.startswith("head.")}
    # Official files are in half precision.
    assert all(torch.allclose(after[name], tensor, atol=2e-3) for name, tensor in rest.items())
    assert any(name.startswith(kept) for name in rest)
    assert "; left out " in caplog.text
    assert "head" in caplog.text.split("missing ")[1].split(";")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_only_where_it_is_asked_for(kind, tmp_path):
    cfg, changes, _ = KINDS[kind]
    path = official_file(LAYOUTS["official"].to_theirs(build(cfg).network.state_dict()), tmp_path)
    with pytest.raises(
        UserError, match=r"another head: head.* has 7 rows in the file and 3 in the model\. .* set new_head=True"
    ):
        build(cfg, changes, checkpoint=str(path)).init_weights()


def test_the_grid_of_a_checkpoints_positions(tmp_path):
    """``grid`` in ``init_cfg`` means the same as for backbones."""
    cfg, _, _ = KINDS["classes"]
    trained = build(cfg)
    path = official_file(LAYOUTS["official"].to_theirs(trained.network.state_dict()), tmp_path)
    rows = trained.network.vision.embed.positions.shape[0] - 3
    model, plain = build(cfg, checkpoint=str(path), grid=(1, rows)), build(cfg)
    model.init_weights()
    load_checkpoint(plain.network, path, grid=(1, rows))
    assert torch.equal(model.network.vision.embed.positions, plain.network.vision.embed.positions)
    assert not torch.allclose(model.network.vision.embed.positions, trained.network.vision.embed.positions, atol=1e-2)
