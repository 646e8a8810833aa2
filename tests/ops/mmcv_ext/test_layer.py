"""mmcv's layer of deformable attention, changed by replace_deform_attns, against mmcv's own."""

import copy
import sys

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention

import mmbeit3.registry  # noqa: F401
from mmbeit3.ops import replace_deform_attns
from mmbeit3.ops.mmcv_ext.layer import FusedMultiScaleDeformableAttention

SHAPES = [(4, 5), (3, 2)]


def layers(batch_first, seed=0):
    torch.manual_seed(seed)
    theirs = MultiScaleDeformableAttention(16, 4, 2, 3, dropout=0.0, batch_first=batch_first, value_proj_ratio=0.5)
    for layer in (theirs.sampling_offsets, theirs.attention_weights):
        torch.nn.init.normal_(layer.weight, std=0.4)
    ours = torch.nn.Sequential(copy.deepcopy(theirs))
    assert replace_deform_attns(ours) == 1
    return theirs, ours[0]


def inputs(batch_first, size=2, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def tokens(number):
        shape = (2, number, 16) if batch_first else (number, 2, 16)
        return torch.randn(shape, generator=generator).requires_grad_()

    points = torch.rand(2, 7, 2, size, generator=generator)
    return {
        "query": tokens(7),
        "value": tokens(26),
        "reference_points": points.requires_grad_(),
        "spatial_shapes": torch.tensor(SHAPES),
        "level_start_index": torch.tensor([0, 20]),
    }


def check_equal(theirs, ours, arguments):
    """Compare output and the gradients of inputs and parameters."""
    results = []
    for layer in (theirs, ours):
        output = layer(**arguments)
        leaves = [leaf for leaf in arguments.values() if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
        gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        results.append((output, *torch.autograd.grad(output, [*leaves, *layer.parameters()], gradient)))
    for one, other in zip(*results, strict=True):
        scale = other.abs().max().clamp(min=1.0)
        torch.testing.assert_close(one / scale, other / scale, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("size", [2, 4])
def test_equals_mmcvs(batch_first, size):
    check_equal(*layers(batch_first), inputs(batch_first, size))


@pytest.mark.parametrize("batch_first", [True, False])
def test_with_every_argument(batch_first):
    arguments = inputs(batch_first)
    mask = torch.zeros(2, 26, dtype=torch.bool)
    mask[1, 15:] = True
    more = {"key_padding_mask": mask, "query_pos": torch.randn_like(arguments["query"]).requires_grad_()}
    identity = torch.randn_like(arguments["query"]).requires_grad_()
    check_equal(*layers(batch_first), arguments | more | {"identity": identity})
    check_equal(*layers(batch_first), arguments | more)


def test_the_query_is_the_value():
    arguments = inputs(True)
    query = torch.randn(2, 26, 16, requires_grad=True)
    points = torch.rand(2, 26, 2, 2, requires_grad=True)
    check_equal(*layers(True), arguments | {"value": None, "query": query, "reference_points": points})


def test_older_name_of_identity():
    theirs, ours = layers(True)
    arguments = inputs(True) | {"residual": torch.ones(2, 7, 16)}
    with pytest.warns(DeprecationWarning, match="residual"):
        expected = theirs(**arguments)
    torch.testing.assert_close(ours(**arguments), expected, atol=1e-6, rtol=1e-5)


def test_names_and_class():
    theirs, ours = layers(True)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert isinstance(ours, MultiScaleDeformableAttention)
    assert type(copy.deepcopy(ours)) is FusedMultiScaleDeformableAttention
    assert replace_deform_attns(ours) == 0


def test_models_without_mmcvs_ops(monkeypatch):
    monkeypatch.delitem(sys.modules, "mmcv.ops.multi_scale_deform_attn")
    monkeypatch.delitem(sys.modules, "mmbeit3.ops.mmcv_ext.layer")
    assert replace_deform_attns(torch.nn.Sequential(torch.nn.Linear(2, 2))) == 0
    assert "mmbeit3.ops.mmcv_ext.layer" not in sys.modules


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reference_points": None}, "needs reference_points and spatial_shapes"),
        ({"reference_points": torch.rand(2, 7, 2, 3)}, "must have 2 or 4 numbers, got 3"),
        ({"spatial_shapes": torch.tensor([(4, 5), (3, 3)])}, "value has 26 cells"),
    ],
)
def test_wrong_arguments(change, reason):
    _, ours = layers(True)
    with pytest.raises(ValueError, match=reason):
        ours(**(inputs(True) | change))
