"""PyTorch's FSDP2 for MMEngine: weights, gradients and optimizer state are sharded over all ranks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.optim import AmpOptimWrapper
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.torch_version import TorchVersion

from mmbeit3.checkpoint import start_from
from mmbeit3.errors import UserError
from mmbeit3.files import atomic_file
from mmbeit3.models.beit3 import sharding_units
from mmbeit3.registry import STRATEGIES

__all__ = ["FullyShardedStrategy"]


@STRATEGIES.register_module()
class FullyShardedStrategy(DDPStrategy):
    """Shard the units of :func:`~mmbeit3.models.beit3.sharding_units` with ``fully_shard`` (FSDP2).

    MMEngine's own ``FSDPStrategy`` uses FSDP1, which flattens parameters. Clipping by the global gradient norm and parameter
    groups by name need FSDP2, which keeps their shapes. In a config: ``strategy=dict(type='mmbeit3.FullyShardedStrategy')``.

    Frozen weights, such as an image tokenizer's, are not sharded. A checkpoint is one file with the full weights, written by
    the first rank, and loads like an unsharded one. Its optimizer state can be resumed only with this strategy.

    Attributes:
        start: checkpoint file to load into the model before it is sharded.

    Args:
        reshard_after_forward: free a unit's gathered weights after its forward pass and gather them again in the backward
            pass. If False, they stay in memory in between.
        param_dtype: dtype of gathered weights, e.g. ``'bfloat16'``, which halves the traffic. Use it with ``AmpOptimWrapper``
            of the same dtype, which handles the activations.
        reduce_dtype: dtype in which gradients are summed over ranks.
        **kwargs: arguments of MMEngine's ``DDPStrategy``.

    Raises:
        UserError: for an unknown dtype, or PyTorch before 2.10; when the model is wrapped, if there is no process group.
    """

    def __init__(
        self,
        *,
        reshard_after_forward: bool = True,
        param_dtype: str | None = None,
        reduce_dtype: str | None = "float32",
        **kwargs: Any,
    ) -> None:
        if TorchVersion(torch.__version__) < "2.10":
            raise UserError(
                f"FullyShardedStrategy needs PyTorch 2.10 or newer, but {torch.__version__} is installed. On CPUs, older "
                "versions do not shard or average gradients incorrectly: upgrade PyTorch, or train without strategy"
            )
        super().__init__(**kwargs)
        self.start: str | None = None
        self.reshard_after_forward = reshard_after_forward
        self.precision = MixedPrecisionPolicy(param_dtype=_dtype(param_dtype), reduce_dtype=_dtype(reduce_dtype))

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Shard the model in place. Its class and the names of its parameters do not change."""
        if not dist.is_initialized():
            raise UserError(
                "FullyShardedStrategy needs several processes: start the training with "
                "torchrun --nproc-per-node N tools/train.py CONFIG --launcher pytorch"
            )
        if self.start is not None:
            self.logger.info(f"load_from: {start_from(model, self.start)}")
        device = get_device()
        frozen = {parameter for parameter in model.parameters() if not parameter.requires_grad}
        for parameter in frozen:
            parameter.data = parameter.data.to(device)
        options: dict[str, Any] = {
            "mesh": init_device_mesh(device, (get_world_size(),)),
            "mp_policy": self.precision,
            # None means True for all units but the root, whose weights are used until the end of the pass.
            "reshard_after_forward": None if self.reshard_after_forward else False,
            "ignored_params": frozen,
        }
        for unit in sharding_units(model):
            fully_shard(unit, **options)
        fully_shard(model, **options)
        return model

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> Any:
        """Build the optimizer wrapper. Gradients are clipped by their norm over all ranks."""
        built = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(built, "clip_grad_kwargs", None):
            clip = built.clip_func
            # The norm is a DTensor; the log needs the full value.
            built.clip_func = lambda *args, **kwargs: _full_norm(clip(*args, **kwargs))
        return built

    def model_state_dict(self) -> dict[str, Any]:
        """Return the full weights on the CPU of the first rank, and an empty dict on the others. All ranks must call it."""
        return get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))

    def optim_state_dict(self) -> dict[str, Any]:
        """Return the full optimizer state by parameter names, on the first rank. All ranks must call it."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state: dict[str, Any] = dict(get_optimizer_state_dict(self.model, self.optim_wrapper.optimizer, options=options))
        if isinstance(self.optim_wrapper, AmpOptimWrapper):
            state["loss_scaler"] = self.optim_wrapper.loss_scaler.state_dict()
        return state

    def load_model_state_dict(
        self, state_dict: Mapping[str, Any], *, strict: bool = False, revise_keys: Any = ((r"^module\.", ""),)
    ) -> None:
        """Load full weights, which every rank passes."""
        state = dict(state_dict)
        for pattern, replacement in revise_keys:
            state = {re.sub(pattern, replacement, name): value for name, value in state.items()}
        set_model_state_dict(self.model, state, options=StateDictOptions(full_state_dict=True, strict=strict))

    def load_optim_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of :meth:`optim_state_dict`, which every rank passes.

        Raises:
            UserError: if the state was saved without this strategy.
        """
        state = dict(state_dict)
        scaler = state.pop("loss_scaler", None)
        if any(not isinstance(name, str) for name in state.get("state", {})):
            raise UserError(
                "the checkpoint's optimizer state was saved without FullyShardedStrategy and cannot be resumed with it: "
                "start from its weights with load_from"
            )
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(self.model, self.optim_wrapper.optimizer, state, options=options)
        if scaler is not None and isinstance(self.optim_wrapper, AmpOptimWrapper):
            self.optim_wrapper.loss_scaler.load_state_dict(scaler)

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Gather the checkpoint on the first rank, which writes it. All ranks must call it. Arguments: see MMEngine."""
        checkpoint: dict[str, Any] = {"state_dict": self.model_state_dict()}
        if save_optimizer and hasattr(self, "optim_wrapper"):
            checkpoint["optimizer"] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, "param_schedulers"):
            checkpoint["param_schedulers"] = self.scheduler_state_dict()
        extra = extra_ckpt or {}
        extra.setdefault("meta", {}).update(seed=self.seed)
        checkpoint.update(extra)
        if callback is not None:
            callback(checkpoint)
        if is_main_process():
            with atomic_file(filename) as file:
                torch.save(checkpoint, file)
        # No rank continues, and possibly fails, before the file is complete.
        dist.barrier()


def _dtype(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise UserError(f"strategy: unknown dtype {name!r}: use float32, bfloat16 or float16")
    return dtype


def _full_norm(norm: Tensor | None) -> Tensor | None:
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
