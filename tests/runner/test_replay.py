"""A batch whose loss is not finite is saved, read without running code, and run again."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmbeit3.engine.hooks import FiniteLossHook
from mmbeit3.engine.optimizers import multiplies_bfloat16
from mmbeit3.engine.replay_file import from_plain, random_state, read_replay, restore_random_state, to_plain
from mmbeit3.errors import UserError
from mmbeit3.registry import MODELS
from mmbeit3.runner.replay import autocast_of, replay


class Root(torch.nn.Module):
    def forward(self, x):
        return x.sqrt()


@MODELS.register_module(name="TestReplayModel", force=True)
class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(1, 1)
        self.root = Root()
        self.last = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode, img_path=None):
        return {"loss_a": self.last(self.root(inputs + 0 * self.first(inputs))).sum(), "loss_b": self.first(inputs).sum() * 0}


CFG = Config({"model": {"type": "mmbeit3.TestReplayModel"}, "default_scope": "mmengine"})


def train(folder, values, **settings):
    data = [{"inputs": torch.tensor([float(value)]), "img_path": f"{number}.jpg"} for number, value in enumerate(values)]
    Runner(
        Model(),
        str(folder),
        train_dataloader=torch.utils.data.DataLoader(data, batch_size=1, collate_fn=lambda batch: batch[0]),
        train_cfg={"by_epoch": False, "max_iters": len(values)},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.01}},
        default_hooks={"checkpoint": {"type": "mmbeit3.SafeCheckpointHook", "interval": 1, "by_epoch": False}},
        custom_hooks=[FiniteLossHook(**settings)],
        default_scope="mmengine",
        experiment_name=str(folder),
    ).train()


@pytest.mark.parametrize("settings", [{}, {"skip": 1}])
def test_replay_finds_the_module(tmp_path, settings):
    """With skip the weights are saved with the batch, otherwise they are those of the last checkpoint."""
    if settings:
        train(tmp_path, [1, 1, -1], **settings)
    else:
        with pytest.raises(UserError, match=r"step 3: .*'2.jpg'.*the batch is in '.*replay/3.pt' \(tools/train.py CONFIG"):
            train(tmp_path, [1, 1, -1])
    lines = replay(CFG, tmp_path / "replay" / "3.pt")
    assert lines[0] == "step 3, on '2.jpg'"
    assert lines[1] == (
        "weights: " + ("those of the failed step, saved with the batch" if settings else f"{tmp_path}/iter_2.pth")
    )
    assert "loss_a nan  <- not finite" in lines
    assert "loss_b 0" in lines or "loss_b -0" in lines
    assert "first output that is not finite: module root (Root), although its inputs are finite" in lines
    assert lines[-1].startswith("gradients that are not finite: ")
    assert "last.weight" in lines[-1]


def test_files_are_few(tmp_path):
    train(tmp_path, [-1, -1, -1, 1], skip=3, keep=2)
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == ["2.pt", "3.pt"]
    train(tmp_path / "none", [-1, 1], skip=1, keep=0)
    assert not (tmp_path / "none" / "replay").exists()


def test_samples_come_back(tmp_path):
    structures = pytest.importorskip("mmdet.structures")
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks, PolygonMasks
    from mmengine.structures import InstanceData

    sample = structures.DetDataSample(metainfo={"img_path": "a.jpg", "img_shape": (4, 5), "scale": np.float32(0.5)})
    masks = np.zeros((1, 4, 5), np.uint8)
    masks[0, 1:3, 2] = 1
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor([[1.0, 1, 3, 3]])), labels=torch.tensor([2]), masks=BitmapMasks(masks, 4, 5)
    )
    polygons = PolygonMasks([[np.array([0.0, 0, 3, 0, 3, 3])]], 4, 5)
    batch = {"inputs": [torch.arange(6).view(2, 3)[:, 1:]], "data_samples": [sample], "polygons": polygons}
    torch.save(to_plain(batch), tmp_path / "batch.pt")
    found = from_plain(torch.load(tmp_path / "batch.pt", weights_only=True))
    again = found["data_samples"][0]
    assert type(again) is structures.DetDataSample
    assert again.metainfo == {"img_path": "a.jpg", "img_shape": (4, 5), "scale": 0.5}
    assert torch.equal(again.gt_instances.bboxes.tensor, sample.gt_instances.bboxes.tensor)
    assert torch.equal(again.gt_instances.labels, torch.tensor([2]))
    assert np.array_equal(again.gt_instances.masks.masks, masks)
    assert again.gt_instances.masks.masks.dtype == np.uint8
    assert np.array_equal(found["polygons"].masks[0][0], polygons.masks[0][0])
    assert torch.equal(found["inputs"][0], batch["inputs"][0])


def test_random_state():
    import random

    state = random_state()
    first = torch.rand(1).item(), np.random.rand(), random.random()
    restore_random_state(state)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == first


def test_bad_files(tmp_path):
    with pytest.raises(UserError, match=r"replay file '.*none.pt' does not exist"):
        read_replay(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(UserError, match="cannot be read"):
        read_replay(tmp_path / "text.pt")
    torch.save({"state_dict": {}}, tmp_path / "weights.pt")
    with pytest.raises(UserError, match="is not a replay file"):
        read_replay(tmp_path / "weights.pt")
    with pytest.raises(UserError, match="an object of 'os'"):
        from_plain({"__kind__": "element", "type": "os:system", "data": {}, "metainfo": {}})


def test_precision_is_that_of_the_training():
    for wrapper, dtype in (
        ({"type": "OptimWrapper"}, None),
        ({"type": "AmpOptimWrapper", "dtype": "bfloat16"}, torch.bfloat16),
        ({"type": "mmbeit3.BFloat16OptimWrapper"}, torch.bfloat16 if multiplies_bfloat16(torch.device(get_device())) else None),
    ):
        with autocast_of(Config({"optim_wrapper": wrapper})):
            enabled = torch.is_autocast_enabled(get_device())
            assert (torch.get_autocast_dtype(get_device()) if enabled else None) == dtype
