"""Compare linear layers by oneDNN with PyTorch's."""

import importlib

import pytest
import torch
from torch.nn import functional as F

from mmbeit3.ops import Linear, linear, replace_linears

module = importlib.import_module("mmbeit3.ops.linear")  # the package has a function of that name


@pytest.fixture(params=["onednn", "torch"])
def _choice(request, monkeypatch):
    if request.param == "onednn" and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setenv("MMBEIT3_LINEAR", request.param)


@pytest.mark.usefixtures("_choice")
@pytest.mark.parametrize("shape", [(33, 7), (2, 50, 24), (2, 3, 8, 16), (1, 3), (0, 5), (2, 0, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(shape, bias):
    tensors = [torch.randn(shape), torch.randn(10, shape[-1])] + [torch.randn(10)] * bias
    leaves = [[t.clone().requires_grad_() for t in tensors] for _ in range(2)]
    outputs = [function(*own) for function, own in zip((linear, F.linear), leaves, strict=True)]
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(grad)
    for ours, theirs in zip(*leaves, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("processor", [("AuthenticAMD", 25), ("AuthenticAMD", 26)])
def test_gradients_of_a_large_layer(processor, monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.delenv("MMBEIT3_LINEAR", raising=False)
    monkeypatch.setattr(module, "_half_used_by_mkl", lambda: True)
    monkeypatch.setattr(module, "_processor", lambda: processor)
    leaves = [torch.randn(520, 640, requires_grad=True), torch.randn(640, 640, requires_grad=True)]
    output = linear(*leaves)
    assert "mmbeit3_linear" in type(output._base.grad_fn if output._base is not None else output.grad_fn).__name__
    grad = torch.randn_like(output)
    found = torch.autograd.grad(output, leaves, grad)
    torch.testing.assert_close(found, torch.autograd.grad(F.linear(*leaves), leaves, grad), atol=1e-3, rtol=1e-4)


@pytest.mark.usefixtures("_choice")
def test_only_what_is_wanted_is_differentiated():
    layer = Linear(8, 4)
    layer.weight.requires_grad_(False)
    layer(torch.randn(40, 8)).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(layer.bias.grad, torch.full((4,), 40.0))


@pytest.mark.usefixtures("_choice")
def test_autocast_is_left_to_pytorch():
    layer, x = Linear(8, 4), torch.randn(40, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64


def test_a_layer_like_any_other():
    assert isinstance(Linear(3, 4), torch.nn.Linear)
    assert list(Linear(3, 4).state_dict()) == ["weight", "bias"]


def test_unknown_choice(monkeypatch):
    monkeypatch.setenv("MMBEIT3_LINEAR", "mkl")
    with pytest.raises(ValueError, match="MMBEIT3_LINEAR must be one of onednn, torch"):
        linear(torch.randn(40, 8), torch.randn(4, 8))


@pytest.mark.parametrize(
    ("processor", "faster", "little"),
    [
        (("AuthenticAMD", 26), True, False),  # Zen 5
        (("AuthenticAMD", 25), True, True),  # Zen 4
        (("GenuineIntel", 6), False, False),
        (("", 0), False, False),
    ],
)
def test_which_is_faster(processor, faster, little, monkeypatch):
    monkeypatch.delenv("MMBEIT3_LINEAR", raising=False)
    monkeypatch.setattr(module, "_possible", lambda: True)
    monkeypatch.setattr(module, "_processor", lambda: processor)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert module._onednn_is_faster() == faster
    assert module._onednn_gains_little() == little
    monkeypatch.setenv("MMBEIT3_LINEAR", "onednn")
    assert module._onednn_is_faster()
    assert not module._onednn_gains_little()


def test_without_avx512(monkeypatch):
    monkeypatch.delenv("MMBEIT3_LINEAR", raising=False)
    monkeypatch.setattr(module, "_processor", lambda: ("AuthenticAMD", 25))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not module._onednn_is_faster()


def test_registered_as_it_should_be():
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    leaves = [torch.randn(40, 8), torch.randn(4, 8), torch.randn(4)]
    torch.library.opcheck(torch.ops.mmbeit3.linear, tuple(t.requires_grad_() for t in leaves))


def test_mmcvs_wrapper_is_replaced():
    from mmcv.cnn import Linear as Wrapper

    model = torch.nn.Sequential(Wrapper(3, 4))
    assert replace_linears(model) == 1
    assert type(model[0]) is Linear


def test_a_models_own_layers_are_replaced():
    model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.TransformerEncoderLayer(4, 2, 8), Linear(4, 2))
    x = torch.randn(40, 8)
    before, names = model.eval()(x), list(model.state_dict())
    # Attention's own projection is a subclass, and not called as a layer.
    assert replace_linears(model) == 3
    assert [type(model[0]), type(model[1].linear1), type(model[1].self_attn.out_proj)] == [
        Linear,
        Linear,
        torch.nn.modules.linear.NonDynamicallyQuantizableLinear,
    ]
    assert replace_linears(model) == 0
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(x), before, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("_choice")
@pytest.mark.parametrize("shape", [(33, 7), (2, 50, 7)])
def test_the_output_can_be_written_to(shape):
    leaves = [torch.randn(shape, requires_grad=True), torch.randn(10, 7, requires_grad=True)]
    expected = torch.autograd.grad(F.relu(F.linear(*leaves)).sum(), leaves)
    found = torch.autograd.grad(F.relu(linear(*leaves), inplace=True).sum(), leaves)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
