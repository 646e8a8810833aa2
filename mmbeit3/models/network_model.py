"""A network as MMEngine's models hold it: what its input is normalised by, and where its weights come from."""

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
    """Base of pretraining's and the tasks' models.

    Args:
        network: the network; its names in a checkpoint begin with ``network.``.
        mean, std: of the network's input, for values from 0 to 1.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, of any layout, for the network. With ``new_head=True`` the
            checkpoint's head is left out, see :func:`~mmbeit3.checkpoint.load_checkpoint`.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names. Called by MMEngine once the model is built.

        Raises:
            UserError: if the file cannot be used.
        """
        if self.init_cfg:
            report = load_checkpoint(self.network, self.init_cfg["checkpoint"], new_head=self.init_cfg.get("new_head", False))
            print_log(str(report), logger="current")

    def normalize(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 from 0 to 255, as the network wants them."""
        return (image.to(wide_dtype(image, self.mean)) / 255 - self.mean) / self.std
