"""Log the throughput of training, its share of the machine's peak, the wait for data and the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import torch
from mmengine.device import is_cuda_available, is_musa_available
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmbeit3.ops import switches
from mmbeit3.profiling.flops import FlopCounter
from mmbeit3.profiling.machine import matrix_peak
from mmbeit3.profiling.memory import peak_resident
from mmbeit3.registry import HOOKS

__all__ = ["Pace", "ThroughputHook"]

_COUNTED = 2
"""Iteration, from the start or the resume, whose operations are counted; kernels have been chosen and loaded by then."""

_WARM_UP = 5
"""Number of iterations that do not count for the pace: caches are filled, workers start, and one is slowed down by counting."""

_SIZES = {"cuda": (4096, 8192), "cpu": (512, 1024)}
_SECONDS = {"cuda": 0.1, "cpu": 0.05}
"""Sides of the matrices and seconds per side of the measurement of the peak, by type of device."""


class _Iteration(NamedTuple):
    """One iteration of this process.

    Attributes:
        seconds: duration, wait for data included, validation excluded.
        waited: seconds of waiting for data.
        images: number of images; None if unknown.
        pixels: pixels of the images, padded to the largest of the batch; None if unknown.
    """

    seconds: float
    waited: float
    images: int | None
    pixels: int | None


class Pace(NamedTuple):
    """Speed of a training so far, without validation and without the first iterations.

    Attributes:
        seconds: mean duration of an iteration, wait for data included.
        waiting: share of the time in which training waits for data, 0 to 1.
    """

    seconds: float
    waiting: float


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Add to the log of training, as means over the log processor's ``window_size`` iterations:

    * ``images_per_s``: images of all ranks per second. It is left out for batches without images.
    * ``mfu``: floating-point operations per second of this rank, in % of the speed of large matrix products (model FLOPs
      utilization). The speed is measured before training, in the dtype of training. The operations are counted once, in the
      third iteration; a multiply-add counts as two. Operations that ``with_cp`` repeats count. If image sizes vary, operations
      are scaled by the pixels of the padded batch. It is left out for compiled models, whose operations cannot be counted.
    * ``data_wait``: waiting for the data loader, in % of the time.
    * ``memory``: the largest resident size of the process so far in MB, on CPUs. On GPUs, MMEngine logs the allocator's peak.

    The step that is counted runs without ``compile_blocks``. Times are those of the host, and nothing waits for the GPU. Only
    the first rank, which writes the log, measures.
    """

    priority = "NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Measure the peak, and start anew."""
        self._recent: deque[_Iteration] = deque(maxlen=runner.log_processor.window_size)
        self._number = 0
        self._peak: float | None = None
        self._counted: tuple[int, int | None] | None = None
        self._counter: FlopCounter | None = None
        self._seconds = self._waited = 0.0
        self._clock = next((hook for hook in runner.hooks if isinstance(hook, _Clock)), None) or _Clock()
        if self._clock not in runner.hooks:
            runner.register_hook(self._clock)
        self._clock.start()
        if not is_main_process():
            return
        device = next(runner.model.parameters()).device
        if _compiled(runner):
            runner.logger.info("the log has no mfu: operations of compiled models cannot be counted")
        elif device.type in _SIZES:
            self._peak = 1e9 * matrix_peak(device, _dtype(runner), _SIZES[device.type], _SECONDS[device.type])
            if device.type == "cuda":
                # Training would not reuse blocks of the matrices' sizes well.
                torch.cuda.empty_cache()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note the end of the wait for data; count the operations of the third iteration."""
        self._clock.data_arrived()
        if self._number == _COUNTED and self._peak is not None:
            self._counter = _count_next_step(runner.model)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Update the log's values."""
        seconds, waited = self._clock.iteration_ended()
        self._number += 1
        if self._number > _WARM_UP:
            self._seconds += seconds
            self._waited += waited
        if not is_main_process():
            return
        images, pixels = _count_images(data_batch)
        if images is None and pixels is None:
            images = getattr(runner.train_dataloader, "batch_size", None)
        if self._counter is None:
            self._recent.append(_Iteration(seconds, waited, images or None, pixels))
        else:
            # The counter slows this iteration down, so its time is not used.
            self._finish_count(runner, pixels)
        for name, value in self._values().items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        if self._number % 10 == 1 and not (is_cuda_available() or is_musa_available()):
            runner.message_hub.update_scalar("train/memory", peak_resident() / 2**20)

    @property
    def pace(self) -> Pace | None:
        """Speed of this process since the fifth iteration after the start or the resume; None before."""
        count = self._number - _WARM_UP
        return Pace(self._seconds / count, self._waited / self._seconds) if count > 0 and self._seconds > 0 else None

    def _finish_count(self, runner: Runner, pixels: int | None) -> None:
        counter, self._counter = self._counter, None
        assert counter is not None
        if counter.error is not None or not counter.total:
            reason = counter.error or "the step has none"
            runner.logger.info(f"the log has no mfu: the operations of a step cannot be counted ({reason})")
        else:
            self._counted = counter.total, pixels

    def _values(self) -> dict[str, float]:
        """Return the values of the log, averaged over the recent iterations."""
        seconds = sum(iteration.seconds for iteration in self._recent)
        if seconds <= 0:
            return {}
        values = {}
        if all(iteration.images is not None for iteration in self._recent):
            values["images_per_s"] = get_world_size() * sum(iteration.images or 0 for iteration in self._recent) / seconds
        if self._counted is not None and self._peak is not None:
            flops, pixels = self._counted
            scales = [iteration.pixels / pixels if iteration.pixels and pixels else 1.0 for iteration in self._recent]
            values["mfu"] = 100 * flops * sum(scales) / seconds / self._peak
        values["data_wait"] = 100 * sum(iteration.waited for iteration in self._recent) / seconds
        return values


class _Clock(Hook):
    """Duration of iterations without validation. It runs last, so that other hooks do not count as waiting for data."""

    priority = "LOWEST"

    def start(self) -> None:
        """Start the first iteration."""
        self._ended = self._waits_since = perf_counter()
        self._waited = self._paused = 0.0

    def data_arrived(self) -> None:
        """Note the end of the wait for data."""
        self._waited = perf_counter() - self._waits_since

    def iteration_ended(self) -> tuple[float, float]:
        """Return the seconds since the end of the last iteration, and those of waiting for data."""
        now = perf_counter()
        seconds, self._ended = now - self._ended, now
        return seconds, self._waited

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out the time between epochs."""
        self.start()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Start the wait for data."""
        self._waits_since = perf_counter()

    def before_val_epoch(self, runner: Runner) -> None:
        """Note the start of validation."""
        self._paused = perf_counter()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Leave out the time of validation."""
        now = perf_counter()
        self._ended += now - self._paused
        self._waits_since = now


def _count_next_step(model: nn.Module) -> FlopCounter:
    """Count the operations of the next ``train_step`` of a model."""
    counter = FlopCounter()
    step: Callable[..., Any] = model.train_step  # type: ignore[assignment]

    def counted_step(*args: Any, **kwargs: Any) -> Any:
        # Deleting the attribute uncovers the class's method. The context ends even if the step raises an error.
        del model.train_step
        compiled = [module for module in switches(model) if module.compile_blocks]
        try:
            # Operations inside compiled blocks cannot be counted.
            for module in compiled:
                module.compile_blocks = False
            with counter:
                return step(*args, **kwargs)
        finally:
            for module in compiled:
                module.compile_blocks = True

    model.train_step = counted_step  # type: ignore[assignment]
    return counter


def _count_images(batch: Any) -> tuple[int | None, int | None]:
    """Return the number of images of a batch and the pixels of the padded images; (None, None) if its form is not known."""
    if not isinstance(batch, Mapping) or "inputs" not in batch:
        return None, None
    sizes = _image_sizes(batch["inputs"], image=True)
    return sum(count for count, _ in sizes), sum(count * pixels for count, pixels in sizes)


def _image_sizes(inputs: Any, image: bool) -> list[tuple[int, int]]:
    """List (number of images, pixels of each) of the image tensors in a batch.

    Args:
        inputs: (B, C, H, W), a list of (C, H, W), which are padded to the largest, or a mapping of such, whose keys of images
            begin with ``image``.
        image: True if tensors in ``inputs`` are images.
    """
    if isinstance(inputs, Mapping):
        return [size for key, value in inputs.items() for size in _image_sizes(value, str(key).startswith("image"))]
    if isinstance(inputs, Tensor):
        return [(inputs.shape[0], inputs.shape[-2] * inputs.shape[-1])] if image and inputs.dim() == 4 else []
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(value, Tensor) and value.dim() == 3 for value in inputs):
        height, width = (max(value.shape[axis] for value in inputs) for axis in (-2, -1))
        return [(len(inputs), height * width)]
    return []


def _compiled(runner: Runner) -> bool:
    """Return True if the model or a part of it is compiled."""
    if runner.cfg.get("compile") or "train_step" in vars(runner.model):
        return True
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in runner.model.modules()
    )


def _dtype(runner: Runner) -> torch.dtype:
    """Return the dtype of the matrix products of training."""
    wrapper = runner.optim_wrapper
    wrappers = list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    for wrapper in wrappers:
        if hasattr(wrapper, "cast_dtype"):  # AmpOptimWrapper, whose default is autocast's
            return wrapper.cast_dtype or torch.get_autocast_gpu_dtype()
    precision = getattr(getattr(runner, "strategy", None), "precision", None)
    return getattr(precision, "param_dtype", None) or next(p.dtype for p in runner.model.parameters() if p.is_floating_point())
