"""Make the models of mmbeit3 and OpenMMLab use the deformable attention of a peer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmarks.cases import Step
from benchmarks.peers import DeformAttn
from mmbeit3.ops import fused_ms_deform_attn
from mmbeit3.ops.deform_attn import locations_and_weights

__all__ = ["force_attention", "with_attention"]


@contextmanager
def force_attention(attention: DeformAttn) -> Iterator[Callable[[], int]]:
    """Replace the deformable attention of mmbeit3's and mmcv's layers, and mmbeit3's linear layers by PyTorch's.

    As in the reference ViT-Adapter, values in half precision are computed in float32.

    Args:
        attention: function of value, shapes, sampling locations and attention weights.

    Yields:
        A function that returns the number of calls of ``attention``.
    """
    from mmcv.ops import multi_scale_deform_attn as mmcv_module

    calls = 0

    def replacement(value: Tensor, shapes: Any, locations: Tensor, weights: Tensor, *_: Any, **__: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return attention(value.float(), shapes, locations.float(), weights.float()).to(value.dtype)

    def unfused(value: Tensor, shapes: Any, references: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        # Peers get locations and weights from PyTorch, as in their own layers.
        return replacement(value, shapes, *locations_and_weights(shapes, references, offsets, logits))

    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"MMBEIT3_LINEAR": "torch"}))
        # Modules are found by the function they hold and not by name, because a layer may move to another file.
        for name, module in list(sys.modules.items()):
            if name.startswith("mmbeit3.models") and getattr(module, "fused_ms_deform_attn", None) is fused_ms_deform_attn:
                stack.enter_context(patch.object(module, "fused_ms_deform_attn", unfused))
        stack.enter_context(patch.object(mmcv_module, "multi_scale_deformable_attn_pytorch", replacement))
        # On a GPU, mmcv's layer would otherwise call its compiled operator or mmbeit3's replacement of it.
        stack.enter_context(patch.object(mmcv_module, "IS_CUDA_AVAILABLE", False))
        yield lambda: calls


def with_attention(step: Step, attention: DeformAttn) -> Step:
    """Return a step that uses another deformable attention.

    Raises:
        RuntimeError: when the step is called, if it did not use that attention: it would compare mmbeit3 with itself.
    """

    def forced_step() -> Any:
        with force_attention(attention) as calls:
            result = step()
            if not calls():
                raise RuntimeError("the peer's deformable attention was not used: the layer to replace was not found")
            return result

    return forced_step
