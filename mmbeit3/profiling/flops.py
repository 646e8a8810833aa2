"""Count the floating-point operations of a call; a multiply-add counts as two.

PyTorch's counter supports matrix products, convolutions and attention on GPUs. This module adds formulas for attention on CPUs,
for bilinear sampling and for the operators of mmbeit3. Element-wise operations are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["OPERATORS", "FlopCounter", "count_flops"]

T = TypeVar("T")
Shape = Sequence[int]

_SAMPLE = 8
"""Operations per channel of one bilinear sample: four multiply-adds."""


class FlopCounter(TorchDispatchMode):
    """Context that counts floating-point operations and runs everything unchanged, without ``torch.compile``.

    PyTorch's ``FlopCounterMode`` has the same formulas, but follows modules by global hooks and does not run Triton kernels of
    ``torch.library.triton_op``, so it cannot be used around a training step.

    Attributes:
        total: number of operations.
        error: the last error of a formula, whose operator was not counted; None if all were counted.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.error: Exception | None = None
        self._formulas = FlopCounterMode(display=False, custom_mapping=_formulas()).flop_registry

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and add its operations."""
        kwargs = kwargs or {}
        formula = self._formulas.get(getattr(func, "_overloadpacket", None))
        if formula is None:
            # prim::device of fake tensors has no kernel that could be split.
            if isinstance(func, torch._ops.OpOverload) and func.namespace != "prim":
                # In inference mode, operators arrive before they are split into those that have formulas.
                with self:
                    result = func.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        try:
            self.total += formula(*args, **kwargs, out_val=result)
        except Exception as error:  # noqa: BLE001  (formulas raise errors of any type; the counted code must go on)
            self.error = error
        return result


def count_flops(call: Callable[[], T]) -> tuple[T, int]:
    """Run a call once and count its floating-point operations.

    Args:
        call: forward passes, or forward and backward passes, without ``torch.compile``.

    Returns:
        The result of the call and the number of operations.

    Raises:
        Exception: that of a formula, if an operator could not be counted.
    """
    with FlopCounter() as counter:
        result = call()
    if counter.error is not None:
        raise counter.error
    return result, counter.total


def _formulas() -> dict[Any, Callable[..., int]]:
    """Return the formulas that PyTorch's counter lacks, by operator."""
    aten = torch.ops.aten
    formulas: dict[Any, Callable[..., int]] = {
        aten.grid_sampler_2d: _grid_sample,
        aten.grid_sampler_2d_backward: _grid_sample_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    for name, formula in OPERATORS.items():
        # An operator is registered when its module is imported; without the import, no call can use it.
        if operator := getattr(torch.ops.mmbeit3, name, None):
            formulas[operator] = formula
    return formulas


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Count two matrix products for q, k, v of (B, heads, N, d)."""
    heads, queries, d = math.prod(query[:-2]), query[-2], query[-1]
    return 2 * heads * queries * key[-2] * (d + value[-1])


def _attention_backward(_: Shape, query: Shape, key: Shape, value: Shape, *__: Any, **___: Any) -> int:
    """Count five matrix products: the scores once more, and the gradients of the scores, v, q and k."""
    heads, queries, d = math.prod(query[:-2]), query[-2], query[-1]
    return 2 * heads * queries * key[-2] * (3 * d + 2 * value[-1])


def _grid_sample(maps: Shape, points: Shape, *_: Any, **__: Any) -> int:
    """Count sampling of maps (B, C, H, W) at points (B, h, w, 2)."""
    return _SAMPLE * maps[1] * math.prod(points[:-1])


def _grid_sample_backward(_: Shape, maps: Shape, points: Shape, *__: Any, **___: Any) -> int:
    """Count the gradients of the maps and those of the points."""
    return 2 * _grid_sample(maps, points)


def _deform_attn(value: Shape, _: Any, __: Any, ___: Any, points: Shape, *____: Any, **_____: Any) -> int:
    """Count sampling of values (B, S, heads, d) at points (B, Q, heads, L, P, 2).

    The bilinear weight of a corner and the attention weight are one factor.
    """
    return _SAMPLE * value[3] * math.prod(points[:-1])


def _deform_attn_backward(_: Shape, *forward: Any, **__: Any) -> int:
    """Count the gradient of the values, and the four products that the gradients of points and scores share."""
    return 2 * _deform_attn(*forward)


def _element_wise(*_: Any, **__: Any) -> int:
    """Count nothing, as PyTorch's counter does for its own norms."""
    return 0


def _linear(rows: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    """Count the product of rows (..., in) with a weight (out, in)."""
    return 2 * math.prod(rows) * weight[0]


OPERATORS: dict[str, Callable[..., int]] = {
    "ms_deform_attn": _deform_attn,
    "ms_deform_attn_backward": _deform_attn_backward,
    "attention": _attention,
    "linear": _linear,
    "layer_norm": _element_wise,
    "layer_norm_backward": _element_wise,
}
"""Formulas of the operators in the namespace ``mmbeit3``, by name; their arguments are the shapes of the operator's tensors."""
