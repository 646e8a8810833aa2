"""Copies between host and GPU that do not make the host wait."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["HostCopy", "to_device"]


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, without waiting for the device.

    Args:
        values: tensor in the host's memory. It must not change afterwards.
        device: the device.
    """
    # The GPU reads pinned memory by itself. From other memory, the copy would wait until the GPU has finished all its work.
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


class HostCopy:
    """Copy of a tensor to the host that starts now and is read later, so that the host can go on.

    Args:
        values: tensor on any device.
    """

    def __init__(self, values: Tensor) -> None:
        on_cuda = values.is_cuda
        self._values = values.detach().to("cpu", non_blocking=on_cuda)
        self._done = torch.cuda.current_stream(values.device).record_event() if on_cuda else None

    def read(self) -> np.ndarray:
        """Wait for the copy, and return it."""
        if self._done is not None:
            self._done.synchronize()
        array: np.ndarray = self._values.numpy()
        return array
