"""Floating-point operations of a call, a multiply-add counted as two.

PyTorch's counter knows matrix products, convolutions and attention on GPUs. It is told here of attention on CPUs, of bilinear
sampling and of the operators that this package registers. Element-wise work is not counted by anybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["OPERATORS", "count_flops"]

T = TypeVar("T")
Shape = Sequence[int]

_SAMPLE = 8
"""Operations a channel of one bilinear sample: four multiply-adds."""


def count_flops(call: Callable[[], T]) -> tuple[T, int]:
    """Run a call once and count.

    Args:
        call: forward passes, or forward and backward passes; not compiled.

    Returns:
        What it returned, and its floating-point operations.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_formulas())
    with counter:
        result = call()
    return result, counter.get_total_flops()


def _formulas() -> dict[Any, Callable[..., int]]:
    """What the counter does not know yet, by operator."""
    aten = torch.ops.aten
    formulas: dict[Any, Callable[..., int]] = {
        aten.grid_sampler_2d: _grid_sample,
        aten.grid_sampler_2d_backward: _grid_sample_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    for name, formula in OPERATORS.items():
        # Registered when the module that has it is imported; who never did cannot call it either.
        if operator := getattr(torch.ops.mmbeit3, name, None):
            formulas[operator] = formula
    return formulas


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Two products for q, k, v of (B, heads, N, d)."""
    heads, queries, d = math.prod(query[:-2]), query[-2], query[-1]
    return 2 * heads * queries * key[-2] * (d + value[-1])


def _attention_backward(_: Shape, query: Shape, key: Shape, value: Shape, *__: Any, **___: Any) -> int:
    """Five products: the scores once more, the gradients of them and of v, q and k."""
    heads, queries, d = math.prod(query[:-2]), query[-2], query[-1]
    return 2 * heads * queries * key[-2] * (3 * d + 2 * value[-1])


def _grid_sample(maps: Shape, points: Shape, *_: Any, **__: Any) -> int:
    """Maps (B, C, H, W) at points (B, h, w, 2)."""
    return _SAMPLE * maps[1] * math.prod(points[:-1])


def _grid_sample_backward(_: Shape, maps: Shape, points: Shape, *__: Any, **___: Any) -> int:
    """The gradients of the maps, and those of the points."""
    return 2 * _grid_sample(maps, points)


def _deform_attn(value: Shape, _: Any, locations: Shape, *__: Any, **___: Any) -> int:
    """Values (B, S, heads, d) at points (B, Q, heads, L, P, 2); corners' weights and the attention's are one factor."""
    return _SAMPLE * value[3] * math.prod(locations[:-1])


def _deform_attn_backward(_: Shape, value: Shape, shapes: Any, locations: Shape, *__: Any, **___: Any) -> int:
    """The gradient of the values, and the four products that those of locations and weights share."""
    return 2 * _deform_attn(value, shapes, locations)


def _linear(rows: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    """Rows (..., in) by a weight (out, in)."""
    return 2 * math.prod(rows) * weight[0]


OPERATORS: dict[str, Callable[..., int]] = {
    "ms_deform_attn": _deform_attn,
    "ms_deform_attn_backward": _deform_attn_backward,
    "attention": _attention,
    "linear": _linear,
}
"""Formulas of the operators in the namespace ``mmbeit3``, by name; each is given the shapes of the operator's tensors."""
