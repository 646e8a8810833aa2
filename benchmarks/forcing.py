"""Forcing models to use a peer's deformable attention, ours and OpenMMLab's alike."""

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
from mmbeit3.ops import ms_deform_attn

__all__ = ["force_attention", "with_attention"]


@contextmanager
def force_attention(attention: DeformAttn) -> Iterator[Callable[[], int]]:
    """Within it, our layers and mmcv's call the given deformable attention, and our linear layers are PyTorch's own.

    As in the reference ViT-Adapter, values of half precision are computed in float32.

    Args:
        attention: takes value, shapes, sampling locations and attention weights.

    Yields:
        A function that says how often it was called.
    """
    from mmcv.ops import multi_scale_deform_attn as mmcv_module

    calls = 0

    def theirs(value: Tensor, shapes: Any, locations: Tensor, weights: Tensor, *_: Any, **__: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return attention(value.float(), shapes, locations.float(), weights.float()).to(value.dtype)

    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"MMBEIT3_LINEAR": "torch"}))
        # By what they hold and not by name: a layer may move to another file.
        for name, module in list(sys.modules.items()):
            if name.startswith("mmbeit3.models") and getattr(module, "ms_deform_attn", None) is ms_deform_attn:
                stack.enter_context(patch.object(module, "ms_deform_attn", theirs))
        stack.enter_context(patch.object(mmcv_module, "multi_scale_deformable_attn_pytorch", theirs))
        # On a GPU mmcv's layer would call its compiled operator (or what stands in for it) instead.
        stack.enter_context(patch.object(mmcv_module, "IS_CUDA_AVAILABLE", False))
        yield lambda: calls


def with_attention(step: Step, attention: DeformAttn) -> Step:
    """Return a step that computes with another deformable attention.

    Raises:
        RuntimeError: when it is called, if nothing in it used that attention: a comparison of ours with ours.
    """

    def forced_step() -> Any:
        with force_attention(attention) as calls:
            result = step()
            if not calls():
                raise RuntimeError("the peer's deformable attention was not used: the layer to replace was not found")
            return result

    return forced_step
