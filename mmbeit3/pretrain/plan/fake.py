"""A model and its inputs as fake tensors, which have shapes and no contents: giants fit anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["KnownMasks", "fake_inputs", "fake_model"]

_aten = torch.ops.aten


def fake_model(config: Mapping[str, Any], mode: FakeTensorMode) -> nn.Module:
    """Build a model whose weights are fake tensors on the CPU.

    Raises:
        ValueError, TypeError, KeyError: as the model's class does for what the config says.
    """
    # On the meta device first: building under fake tensors fails where a class asks for a number's value.
    with torch.device("meta"):
        model: nn.Module = MODELS.build(dict(config))
    with mode:
        # Not by to_empty, which stumbles over modules that are used twice. No two modules of ours have the same parameter.
        for module in model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                setattr(module, name, nn.Parameter(fake, parameter.requires_grad))
            for name, buffer in list(module.named_buffers(recurse=False)):
                setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return model


class KnownMasks(TorchDispatchMode):
    """Lets fake tensors be chosen by boolean masks of which it is known how many entries are true.

    To be entered after the :class:`FakeTensorMode`. A mask that was never told of counts as true everywhere, such as the one of
    what is no padding.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[int, int] = {}

    def tell(self, mask: Tensor, count: int) -> None:
        """Say how many entries of a mask are true; the caller keeps the mask alive."""
        self._counts[mask.untyped_storage()._cdata] = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator; places of what a mask chooses are made up, as many as there are."""
        if func is _aten.nonzero.default and args[0].dtype == torch.bool:
            return self._places(args[0])
        if func in (_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._unsafe_index_put.default):
            indices = []
            for index in args[1]:
                is_mask = isinstance(index, Tensor) and index.dtype == torch.bool
                indices += list(self._places(index).unbind(1)) if is_mask else [index]
            args = (args[0], indices, *args[2:])
        return func(*args, **(kwargs or {}))

    def _places(self, mask: Tensor) -> Tensor:
        count = self._counts.get(mask.untyped_storage()._cdata, mask.numel())
        return mask.new_empty((count, mask.ndim), dtype=torch.int64)


def fake_inputs(
    inputs: Mapping[str, Mapping[str, Tensor]], mode: FakeTensorMode, masks: KnownMasks
) -> dict[str, dict[str, Tensor]]:
    """Turn streams of tensors to fake ones, and tell how much their masks choose."""
    faked: dict[str, dict[str, Tensor]] = {}
    for name, stream in inputs.items():
        faked[name] = {}
        for key, tensor in stream.items():
            fake = mode.from_tensor(tensor)
            if key in ("masked_positions", "masked_words"):
                masks.tell(fake, int(tensor.sum()))
            faked[name][key] = fake
    return faked
