"""Base class of MMEngine models that contain a network: input normalisation and initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.ops import wide_dtype

__all__ = ["NetworkModel"]


class NetworkModel(BaseModel):
    """Base class of the models for pretraining and for tasks.

    Args:
        network: the network. Its keys in a checkpoint begin with ``network.``.
        mean, std: per channel, for pixel values from 0 to 1.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, a checkpoint of any layout for the network. It may also have
            ``new_head`` and ``grid``, see :func:`~mmbeit3.checkpoint.load_checkpoint`.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``. MMEngine calls this once the model is built.

        Raises:
            UserError: if the checkpoint cannot be read or belongs to another model.
        """
        if self.init_cfg:
            options = {name: self.init_cfg[name] for name in ("new_head", "grid") if name in self.init_cfg}
            report = load_checkpoint(self.network, self.init_cfg["checkpoint"], **options)
            print_log(str(report), logger="current")

    def normalize(self, image: Tensor) -> Tensor:
        """Normalise images (B, 3, H, W), uint8 from 0 to 255, for the network."""
        return (image.to(wide_dtype(image, self.mean)) / 255 - self.mean) / self.std
