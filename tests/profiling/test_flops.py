"""Operations counted by hand."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.ops import ms_deform_attn
from mmbeit3.profiling.flops import OPERATORS, count_flops


def test_linear():
    layer = nn.Linear(5, 7)
    result, flops = count_flops(lambda: layer(torch.ones(2, 3, 5)))
    assert result.shape == (2, 3, 7)
    assert flops == 2 * 6 * 5 * 7


def test_fake_tensors_and_inference_mode():
    layer = nn.Conv2d(3, 4, 1)
    with torch.inference_mode():
        assert count_flops(lambda: layer(torch.ones(1, 3, 5, 5)))[1] == 2 * 25 * 3 * 4
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert count_flops(lambda: layer(torch.ones(1, 3, 5, 5)))[1] == 2 * 25 * 3 * 4


def test_an_error_of_a_formula_is_raised_after_the_call(monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("no such shape")

    monkeypatch.setitem(torch.utils.flop_counter.flop_registry, torch.ops.aten.mm, broken)
    done = []
    with pytest.raises(TypeError, match="no such shape"):
        count_flops(lambda: done.append(torch.ones(2, 2) @ torch.ones(2, 2)))
    assert len(done) == 1


def test_linear_forward_and_backward():
    layer = nn.Linear(5, 7)
    x = torch.ones(6, 5, requires_grad=True)
    _, flops = count_flops(lambda: layer(x).sum().backward())
    assert flops == 3 * 2 * 6 * 5 * 7


@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_a_cpu(masked):
    q, k, v = torch.ones(2, 3, 8, 16), torch.ones(2, 3, 10, 16), torch.ones(2, 3, 10, 16)
    mask = torch.ones(8, 10, dtype=torch.bool) if masked else None
    _, flops = count_flops(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
    assert flops == 2 * 2 * (2 * 3 * 8 * 10 * 16)


def test_attention_forward_and_backward_on_a_cpu():
    q, k, v = (torch.ones(2, 3, 8, 16, requires_grad=True) for _ in range(3))
    _, flops = count_flops(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert flops == (2 + 5) * 2 * (2 * 3 * 8 * 8 * 16)


@pytest.mark.parametrize("kernel", ["reference", None])
def test_deformable_attention(kernel):
    heads, d, queries, points = 2, 8, 5, 4
    value = torch.ones(1, 16 + 4, heads, d, requires_grad=True)
    locations, weights = torch.full((1, queries, heads, 2, points, 2), 0.4), torch.ones(1, queries, heads, 2, points)

    def call():
        return ms_deform_attn(value, [(4, 4), (2, 2)], locations, weights, kernel=kernel)

    once = 8 * queries * heads * 2 * points * d
    assert count_flops(call)[1] == once
    assert count_flops(lambda: call().sum().backward())[1] == 3 * once


@pytest.mark.parametrize("backward", [False, True])
def test_tower_whatever_its_layers_and_attention_are_computed_by(backward):
    C, hidden, layers, tokens = 192, 768, 8, 64 // 16 * 64 // 16 + 1
    net = BEiT3Vision("tiny", image_size=64).train(backward)
    image = torch.ones(1, 3, 64, 64)

    def call():
        with torch.set_grad_enabled(backward):
            output = net(image)[0]
        if backward:
            output.sum().backward()

    products = layers * 2 * tokens * (4 * C * C + 2 * C * hidden)
    attention = layers * 2 * 2 * tokens * tokens * C
    patches = 2 * (tokens - 1) * 3 * 16 * 16 * C
    forward = products + attention + patches
    # The image wants no gradient; attention computes its scores once more.
    expected = forward + (2 * products + attention * 5 / 2 + patches if backward else 0)
    assert count_flops(call)[1] == expected


def test_every_operator_of_ours_has_a_formula():
    registered = {
        name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("mmbeit3::")
    }
    assert "ms_deform_attn" in registered
    assert registered <= set(OPERATORS)
