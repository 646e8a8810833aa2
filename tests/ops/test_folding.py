"""Folded batch norms: the same results, fewer layers."""

import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmbeit3.ops.folding import fold_batch_norms


def trained(model):
    """Give norms statistics and weights as after a training."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d | nn.SyncBatchNorm) and part.running_mean is not None:
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
            if part.weight is not None:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return model.eval()


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)), 2),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4)), 1),
        (ConvModule(3, 4, 3, norm_cfg={"type": "BN"}), 1),
        (ConvModule(3, 4, 3, norm_cfg={"type": "GN", "num_groups": 2}), 0),
        (ConvModule(3, 3, 3, norm_cfg={"type": "BN"}, order=("norm", "conv", "act")), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
    ],
)
def test_results_stay(model, count):
    model = trained(model)
    folded = copy.deepcopy(model)
    assert fold_batch_norms(folded) == count
    assert fold_batch_norms(folded) == 0
    image = torch.randn(2, 3, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-4, atol=1e-5)
    kinds = [type(part) for part in folded.modules()]
    assert kinds.count(nn.Identity) == count


def test_models_in_training_are_refused():
    with pytest.raises(ValueError, match="training mode"):
        fold_batch_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
