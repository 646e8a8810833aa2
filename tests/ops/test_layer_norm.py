"""The fused norms against PyTorch's operators in float64.

As in ``test_deform_attn_triton.py``, the comparisons run on a GPU if there is one, and in a separate process under Triton's
interpreter on all machines.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbeit3.ops import Linear, Residual, add_layer_norm, apply_linear, gelu_layer_norm
from mmbeit3.ops.layer_norm import triton_kernel

triton = pytest.importorskip("triton")

INTERPRETED = not isinstance(triton_kernel.forward_kernel, triton.JITFunction)
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")

compares = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no GPU")
compiled_only = pytest.mark.skipif(INTERPRETED, reason="about the compiled kernels")


@pytest.mark.skipif(INTERPRETED, reason="runs the interpreter")
def test_under_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(Path(__file__).resolve())]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout, run.stdout


def random_norm(columns, generator):
    norm = nn.LayerNorm(columns, eps=1e-5)
    for parameter in norm.parameters():
        parameter.data = torch.randn(columns, generator=generator)
    return norm.to(DEVICE)


def check(got, wanted, dtypes):
    for one, other, dtype in zip(got, wanted, dtypes, strict=True):
        assert one.dtype == dtype
        scale = other.abs().max().clamp_min(1e-6)
        tolerance = 2e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
        torch.testing.assert_close(one.double() / scale, other / scale, atol=tolerance, rtol=tolerance)


@compares
@pytest.mark.parametrize("columns", [5, 64, 96])
@pytest.mark.parametrize("parts", [(), ("branch",), ("branch", "factor"), ("branch", "bias"), ("branch", "factor", "bias")])
@pytest.mark.parametrize(("stream", "half"), [(torch.float32, torch.bfloat16), (torch.float16, torch.float16)])
def test_residual_and_norm(columns, parts, stream, half):
    generator = torch.Generator().manual_seed(columns)
    norm, exact = random_norm(columns, generator), nn.LayerNorm(columns, eps=1e-5, dtype=torch.float64, device=DEVICE)
    exact.load_state_dict(norm.state_dict())

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(DEVICE)

    # The first token is dropped, as a prefix is, so samples are not adjacent in memory.
    tokens = draw(2, 8, columns)[:, 1:].to(stream).requires_grad_()
    branch = draw(2, 7, columns).to(half).requires_grad_() if "branch" in parts else None
    factor = torch.tensor([0.0, 1.25], device=DEVICE).view(2, 1, 1) if "factor" in parts else None
    bias = draw(columns).requires_grad_() if "bias" in parts else None
    with torch.autocast(DEVICE.type, half):
        total, normed = add_layer_norm(norm, Residual(tokens, branch, factor, bias))
    leaves = [leaf for leaf in (tokens, branch, bias, norm.weight, norm.bias) if leaf is not None]
    gradients = draw(*total.shape).to(total.dtype), draw(*total.shape).to(half)
    got = [total, normed, *torch.autograd.grad([total, normed], leaves, gradients)]

    wide = [None if x is None else x.detach().double().requires_grad_() for x in (tokens, branch, bias)]
    wide_total = Residual(wide[0], wide[1], factor, wide[2]).sum()
    # The norm reads the sum as it is stored.
    wide_normed = exact(wide_total + (total.detach().double() - wide_total).detach())
    wide_leaves = [*(x for x in wide if x is not None), exact.weight, exact.bias]
    wanted = [wide_total, wide_normed]
    wanted += torch.autograd.grad(wanted, wide_leaves, [gradient.double() for gradient in gradients])
    check(got, wanted, [total.dtype, half, *(leaf.dtype for leaf in leaves)])


@compares
@pytest.mark.parametrize("columns", [7, 128])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_gelu_and_norm(columns, with_bias, half):
    generator = torch.Generator().manual_seed(columns)
    norm, exact = random_norm(columns, generator), nn.LayerNorm(columns, eps=1e-5, dtype=torch.float64, device=DEVICE)
    exact.load_state_dict(norm.state_dict())
    hidden = (2 * torch.randn(11, columns, generator=generator)).to(DEVICE, half).requires_grad_()
    bias = torch.randn(columns, generator=generator).to(DEVICE).requires_grad_() if with_bias else None
    with torch.autocast(DEVICE.type, half):
        normed = gelu_layer_norm(norm, hidden, bias)
    leaves = [leaf for leaf in (hidden, bias, norm.weight, norm.bias) if leaf is not None]
    gradient = torch.randn(normed.shape, generator=generator).to(DEVICE, half)
    got = [normed, *torch.autograd.grad(normed, leaves, gradient)]
    wide = hidden.detach().double().requires_grad_()
    wide_bias = None if bias is None else bias.detach().double().requires_grad_()
    wanted = [exact(F.gelu(wide if wide_bias is None else wide + wide_bias))]
    wide_leaves = [wide, *(() if wide_bias is None else (wide_bias,)), exact.weight, exact.bias]
    wanted += torch.autograd.grad(wanted, wide_leaves, gradient.double())
    check(got, wanted, [half, *(leaf.dtype for leaf in leaves)])


@compares
def test_parts_without_gradients():
    norm = random_norm(16, torch.Generator().manual_seed(0)).requires_grad_(False)
    tokens, branch = (torch.randn(3, 16, device=DEVICE, requires_grad=True) for _ in range(2))
    with torch.autocast(DEVICE.type, torch.bfloat16):
        total, normed = add_layer_norm(norm, Residual(tokens, branch))
        of_total = torch.autograd.grad(total.sum(), (tokens, branch), retain_graph=True)
        alone = add_layer_norm(norm, Residual(tokens))[0]
    torch.testing.assert_close(of_total, (torch.ones_like(tokens),) * 2)
    assert torch.equal(alone, tokens)
    with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16):
        assert torch.equal(add_layer_norm(norm, Residual(tokens, branch))[1], normed)
        assert add_layer_norm(norm, Residual(tokens[:0], branch[:0]))[1].shape == (0, 16)


@compares
def test_a_layers_bias_is_left_to_the_norm():
    layer, norm = Linear(8, 16).to(DEVICE), random_norm(16, torch.Generator().manual_seed(0))
    rows = torch.randn(4, 8, device=DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        result, bias = apply_linear(layer, rows)
        assert bias is layer.bias
        torch.testing.assert_close(
            gelu_layer_norm(norm, result, bias), gelu_layer_norm(norm, layer(rows)), atol=0.05, rtol=0.05
        )
        layer.register_forward_hook(lambda *_: None)
        assert apply_linear(layer, rows)[1] is None
    assert apply_linear(Linear(8, 16).to(DEVICE), rows)[1] is None, "float32 keeps PyTorch's operators"


def test_float32_is_pytorchs_own():
    torch.manual_seed(0)
    norm, layer = nn.LayerNorm(12), Linear(12, 12)
    tokens, branch, factor = torch.randn(2, 3, 12), torch.randn(2, 3, 12), torch.rand(2, 1, 1)
    total, normed = add_layer_norm(norm, Residual(tokens, branch, factor, layer.bias))
    assert torch.equal(total, tokens + (branch + layer.bias) * factor)
    assert torch.equal(normed, norm(total))
    assert torch.equal(gelu_layer_norm(norm, tokens, layer.bias), norm(F.gelu(tokens + layer.bias)))
    result, bias = apply_linear(layer, tokens)
    assert bias is None
    assert torch.equal(result, layer(tokens))


@compiled_only
@pytest.mark.parametrize(("columns", "gelu"), [(768, False), (1024, False), (4096, True)])
@pytest.mark.parametrize("name", ["forward_kernel", "backward_kernel"])
def test_compiles_without_a_gpu(name, columns, gelu, monkeypatch, tmp_path):
    """The interpreter accepts code that the compiler refuses, and the compiler needs no GPU."""
    from triton.backends.compiler import GPUTarget

    if "constexprs" not in inspect.signature(triton.compiler.ASTSource).parameters:
        pytest.skip("this version of triton has another argument for constants")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernel, name)
    block, warps = triton_kernel._plan(columns)
    constants = {"columns": columns, "BLOCK": block, "GELU": gelu, "SHIFT": True, "BRANCH": not gelu, "FACTOR": not gelu}
    constants |= {"eps": 1e-5} if name == "forward_kernel" else {"TOTAL": not gelu}
    half = {"branch", "normed", "grad_normed", "grad_branch"} | ({"tokens", "source", "grad_tokens"} if gelu else set())
    numbers = {"rows", "length", "sample_stride", "rows_per_factor"}
    types = {argument: "*bf16" if argument in half else "*fp32" for argument in kernel.arg_names}
    types |= dict.fromkeys(numbers & set(types), "i32") | dict.fromkeys(constants, "constexpr")
    source = triton.compiler.ASTSource(
        fn=kernel,
        signature=types,
        constexprs={(kernel.arg_names.index(argument),): constant for argument, constant in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, argument in enumerate(types) if types[argument].startswith("*")},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    assert compiled.asm["cubin"]
    # A row stays in registers, and is read and written in the widest units.
    assert ".local" not in compiled.asm["ptx"]
    assert "ld.global.v4" in compiled.asm["ptx"]
