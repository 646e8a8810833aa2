"""Linear layers in float32 on CPUs: use oneDNN instead of MKL on AMD processors with AVX-512.

PyTorch multiplies float32 matrices with MKL, which uses AVX2 code on processors of other makers than Intel even if they have
AVX-512. oneDNN, which PyTorch also contains, checks the processor's instructions: it is 1.8 to 2.6 times as fast on an AMD EPYC
(Zen 5). Zen 4 executes AVX-512 in two halves: oneDNN is about 10% faster in large products, but up to 40% slower in small ones
and in weight gradients, which stay with MKL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.ops.exporting import portable

__all__ = ["Linear", "joint_linear", "linear", "replace_linears"]

_VARIABLE = "MMBEIT3_LINEAR"
_CHOICES = ("onednn", "torch")
_LEAST_ROWS = 16
_LEAST_PRODUCTS = 2 * 10**8
"""Fewest multiplications of a layer for oneDNN on Zen 4. Below, the call overhead exceeds the gain."""


class Linear(nn.Linear):
    """``torch.nn.Linear`` with the kernel of :func:`linear`. Parameters and their names are the same."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return linear(input, self.weight, self.bias)


def replace_linears(model: nn.Module) -> int:
    """Make every plain ``torch.nn.Linear`` of a model, such as a detection head's, use :func:`linear`. Works in place.

    Parameters, names and results do not change. Subclasses of ``torch.nn.Linear`` are skipped, except mmcv's wrapper, which
    behaves like its base class since PyTorch 1.5.

    Returns:
        Number of changed layers.
    """
    wrappers = sys.modules.get("mmcv.cnn.bricks.wrappers")
    kinds = (nn.Linear,) if wrappers is None else (nn.Linear, wrappers.Linear)
    plain = [module for module in model.modules() if type(module) in kinds]
    for module in plain:
        module.__class__ = Linear
    return len(plain)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``input @ weight.T + bias``, with gradients.

    The environment variable ``MMBEIT3_LINEAR`` (``onednn`` or ``torch``) selects the kernel.

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
        # Pass rows, because a custom operator's output must not be a view: ReLU could not modify it in place.
        rows = torch.ops.mmbeit3.linear(input.reshape(-1, input.shape[-1]), weight, bias)
        return rows.view(*input.shape[:-1], weight.shape[0])
    return F.linear(input, weight, bias)


def joint_linear(layers: Sequence[nn.Linear], input: Tensor) -> Sequence[Tensor]:
    """Apply several linear layers with biases to the same input in one product, which reads it once in each pass.

    Args:
        layers: linear layers. If one is of a subclass, such as LoRA's, or has hooks, each is called on its own.
        input: (..., in).

    Returns:
        The result of each layer, (..., out_i); views of one tensor.
    """
    if portable() or not all(is_plain(layer) for layer in layers):
        return [layer(input) for layer in layers]
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return linear(input, weight, bias).split([layer.out_features for layer in layers], dim=-1)


def is_plain(layer: nn.Linear) -> bool:
    """Return True if a layer is nothing but its weight and bias, so that its product may be computed without calling it.

    Subclasses (LoRA, quantisation), hooks and weights that FSDP has sharded (DTensor) need the layer's own call.
    """
    if type(layer) is not Linear or layer.bias is None or hasattr(layer.weight, "full_tensor"):
        return False
    return not (layer._forward_hooks or layer._forward_pre_hooks)


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
    """Return True on AMD processors before family 26 (Zen 5), where 512-bit operations take twice as long as 256-bit ones."""
    maker, family = _processor()
    return os.environ.get(_VARIABLE) is None and maker == "AuthenticAMD" and family < 26


@cache
def _processor() -> tuple[str, int]:
    """Return the processor's maker and family, or empty and 0 if /proc/cpuinfo does not contain them."""
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
