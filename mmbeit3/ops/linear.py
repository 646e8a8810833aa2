"""Linear layers in float32 on CPUs: by oneDNN where PyTorch would go through MKL on a processor that MKL uses half of.

PyTorch multiplies float32 matrices by MKL, which takes its AVX2 code on processors not of Intel's make, also where they have
AVX-512. oneDNN, which PyTorch brings as well, goes by what the processor can: 1.8 to 2.6 times as fast on an AMD EPYC (Zen 5).
Zen 4 has the instructions but works them off in halves: there oneDNN gains some 10% in large products, and loses up to 40% in
small ones and in the gradients of weights, which are left to MKL.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.ops.exporting import portable

__all__ = ["Linear", "linear", "replace_linears"]

_VARIABLE = "MMBEIT3_LINEAR"
_CHOICES = ("onednn", "torch")
_LEAST_ROWS = 16
_LEAST_PRODUCTS = 2 * 10**8
"""Multiplications that a layer must have for oneDNN where it gains little; below, what calls it takes longer."""


class Linear(nn.Linear):
    """``torch.nn.Linear`` that computes by :func:`linear`; parameters and their names are the same."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return linear(input, self.weight, self.bias)


def replace_linears(model: nn.Module) -> int:
    """Have every plain ``torch.nn.Linear`` inside a model, such as a detection head's, compute by :func:`linear`.

    In place; parameters, names and results stay as they are. Subclasses of ``torch.nn.Linear`` are left alone, but for mmcv's
    wrapper, which does no more than its base since PyTorch 1.5.

    Returns:
        How many layers were changed.
    """
    wrappers = sys.modules.get("mmcv.cnn.bricks.wrappers")
    kinds = (nn.Linear,) if wrappers is None else (nn.Linear, wrappers.Linear)
    plain = [module for module in model.modules() if type(module) in kinds]
    for module in plain:
        module.__class__ = Linear
    return len(plain)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``input @ weight.T + bias``, differentiable as PyTorch's own.

    The environment variable ``MMBEIT3_LINEAR`` (``onednn`` or ``torch``) overrides the choice.

    Args:
        input: (..., in).
        weight: (out, in).
        bias: (out,).

    Returns:
        (..., out).
    """
    if (
        not portable()
        and input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.numel() >= _LEAST_ROWS * input.shape[-1]
        and not torch.is_autocast_enabled("cpu")
        and _onednn_is_faster()
        and not (_onednn_gains_little() and input.numel() * weight.shape[0] < _LEAST_PRODUCTS)
    ):
        # Rows alone, since an operator's output that is a view could not be written to, as by ReLU in place.
        rows = torch.ops.mmbeit3.linear(input.reshape(-1, input.shape[-1]), weight, bias)
        return rows.view(*input.shape[:-1], weight.shape[0])
    return F.linear(input, weight, bias)


@torch.compiler.assume_constant_result
def _onednn_is_faster() -> bool:
    choice = os.environ.get(_VARIABLE)
    if choice is None:
        return _possible() and _half_used_by_mkl()
    if choice not in _CHOICES:
        raise ValueError(f"{_VARIABLE} must be one of {', '.join(_CHOICES)}, got '{choice}'")
    if choice == "onednn" and not _possible():
        raise RuntimeError(f"{_VARIABLE}=onednn, but this build of PyTorch has no oneDNN")
    return choice == "onednn"


@cache
def _possible() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _half_used_by_mkl() -> bool:
    if not torch.backends.mkl.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return _processor()[0] not in ("", "GenuineIntel")


@torch.compiler.assume_constant_result
def _onednn_gains_little() -> bool:
    """Whether 512-bit operations take the processor twice as long as 256-bit ones: AMD's before family 26, which is Zen 5."""
    maker, family = _processor()
    return os.environ.get(_VARIABLE) is None and maker == "AuthenticAMD" and family < 26


@cache
def _processor() -> tuple[str, int]:
    """Maker and family; empty and 0 where Linux does not say."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return facts.get("vendor_id", ""), int(facts.get("cpu family", 0))


@torch.library.custom_op("mmbeit3::linear", mutates_args=())
def _linear_op(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


@_linear_op.register_fake
def _linear_fake(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return input.new_empty(input.shape[0], weight.shape[0])


def _setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    input, weight, bias = inputs
    ctx.save_for_backward(input, weight)
    ctx.has_bias = bias is not None


def _by_weight(grad: Tensor, input: Tensor) -> Tensor:
    if _onednn_gains_little():
        return grad.t() @ input
    return linear(grad.t(), input.t())


def _backward(ctx, grad):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    input, weight = ctx.saved_tensors
    by_input, by_weight, by_bias = ctx.needs_input_grad
    return (
        linear(grad, weight.t()) if by_input else None,
        _by_weight(grad, input) if by_weight else None,
        grad.sum(0) if by_bias and ctx.has_bias else None,
    )


_linear_op.register_autograd(_backward, setup_context=_setup_context)
