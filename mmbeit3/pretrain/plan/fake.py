"""Models and inputs made of fake tensors, which have shapes but no data, so models of any size fit into memory.

``FakeTensorMode`` alone cannot run pretraining: indexing by a boolean mask has a result whose size depends on data, for which
it raises an error or makes a symbolic size. :class:`KnownMasks` gives such masks a known number of entries.
"""

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
        ValueError, TypeError, KeyError: errors of the model's class for invalid arguments in the config.
    """
    # Built on the meta device: building under FakeTensorMode fails in classes that read a tensor's value.
    with torch.device("meta"):
        model: nn.Module = MODELS.build(dict(config))
    with mode:
        # Module.to_empty fails for modules that are used twice. No two modules of the models share a parameter.
        for module in model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                setattr(module, name, nn.Parameter(fake, parameter.requires_grad))
            for name, buffer in list(module.named_buffers(recurse=False)):
                setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return model


class KnownMasks(TorchDispatchMode):
    """Indexing of fake tensors by boolean masks with a known number of true entries.

    Enter it after the :class:`FakeTensorMode`. A mask without a known number counts as true everywhere; an example is the mask
    of tokens that are not padding.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[int, int] = {}

    def set_count(self, mask: Tensor, count: int) -> None:
        """Set the number of true entries of a mask, which the caller must keep alive (the storage's address is the key)."""
        self._counts[mask.untyped_storage()._cdata] = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, with masks replaced by index tensors of the known length."""
        if func is _aten.nonzero.default and args[0].dtype == torch.bool:
            return self._indices(args[0])
        if func in (_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._unsafe_index_put.default):
            indices = []
            for index in args[1]:
                is_mask = isinstance(index, Tensor) and index.dtype == torch.bool
                indices += list(self._indices(index).unbind(1)) if is_mask else [index]
            args = (args[0], indices, *args[2:])
        return func(*args, **(kwargs or {}))

    def _indices(self, mask: Tensor) -> Tensor:
        count = self._counts.get(mask.untyped_storage()._cdata, mask.numel())
        return mask.new_empty((count, mask.ndim), dtype=torch.int64)


def fake_inputs(
    inputs: Mapping[str, Mapping[str, Tensor]], mode: FakeTensorMode, masks: KnownMasks
) -> dict[str, dict[str, Tensor]]:
    """Convert streams of tensors to fake tensors, and pass the number of true entries of their masks to ``masks``."""
    faked: dict[str, dict[str, Tensor]] = {}
    for name, stream in inputs.items():
        faked[name] = {}
        for key, tensor in stream.items():
            fake = mode.from_tensor(tensor)
            if key in ("masked_positions", "masked_words"):
                masks.set_count(fake, int(tensor.sum()))
            faked[name][key] = fake
    return faked
