"""Count the floating-point operations of a call; a multiply-add counts as two.

PyTorch's counter supports matrix products, convolutions and attention on GPUs. This module adds formulas for attention on CPUs,
for bilinear sampling and for the operators of mmbeit3. Element-wise operations are not counted.
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
"""Operations per channel of one bilinear sample: four multiply-adds."""


def count_flops(call: Callable[[], T]) -> tuple[T, int]:
    """Run a call once and count its floating-point operations.

    Args:
        call: forward passes, or forward and backward passes, without ``torch.compile``.

    Returns:
        The result of the call and the number of operations.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_formulas())
    with counter:
        result = call()
    return result, counter.get_total_flops()


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


def _linear(rows: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    """Count the product of rows (..., in) with a weight (out, in)."""
    return 2 * math.prod(rows) * weight[0]


OPERATORS: dict[str, Callable[..., int]] = {
    "ms_deform_attn": _deform_attn,
    "ms_deform_attn_backward": _deform_attn_backward,
    "attention": _attention,
    "linear": _linear,
}
"""Formulas of the operators in the namespace ``mmbeit3``, by name; their arguments are the shapes of the operator's tensors."""
