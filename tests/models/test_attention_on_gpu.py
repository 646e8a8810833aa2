"""Attention of the networks on a GPU, in half precision and at a length that no tile divides, against formulas in float32."""

import pytest
import torch

from benchmarks import networks
from benchmarks.cases import deviation
from benchmarks.preset.attention import KINDS, attend_and_differentiate, exact_attention, problem
from benchmarks.settings import Settings
from mmbeit3.models.beit3 import get_arch
from mmbeit3.ops import attend

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("kind", KINDS)
def test_default_backend(kind):
    joint, gradient = problem((2, 3137, 3, 16, 64), kind, "cuda")
    expected = exact_attention(joint, gradient)
    found = attend_and_differentiate(joint, gradient, None)
    apart = {name: deviation([a], [b]) for name, a, b in zip(found._fields, expected, found, strict=True)}
    assert max(apart.values()) < 0.05, apart


def test_attend():
    joint, gradient = problem((2, 3137, 3, 16, 64), KINDS[0], "cuda")
    expected = exact_attention(joint, gradient)
    leaf = joint.requires_grad_()
    output = attend(*leaf.permute(2, 0, 3, 1, 4).unbind())
    (found,) = torch.autograd.grad(output, leaf, gradient)
    assert deviation(expected, [output, *found.permute(2, 0, 3, 1, 4).unbind()]) < 0.05


def test_tower_in_training():
    settings = Settings(device="cuda")
    inputs = {"image": networks.make_image(896, "cuda", 2)}
    network = networks.tower(get_arch("large"), 896, device="cuda")
    expected = networks.train_step(network, inputs, settings, "float32")()
    found = networks.train_step(network, inputs, settings, "bfloat16")()
    assert deviation(expected.outputs, found.outputs) < 0.05
    assert deviation(expected.gradients, found.gradients) < 0.05
