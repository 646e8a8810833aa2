"""What the tasks' models share: batches, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmbeit3.models.network_model import NetworkModel

__all__ = ["TaskModel"]


class TaskModel(NetworkModel):
    """A network as MMEngine trains and tests it.

    Batches come as ``inputs``, a dict of tensors (``image`` (B, 3, H, W), uint8 RGB, ``tokens`` and ``padding_mask`` (B, T)),
    and ``data_samples``, a list of plain dicts, one for each sample: what is true of it, and what it is called. In mode
    ``'predict'`` the model returns those dicts with its predictions added, as metrics want them.

    Args:
        network: the network; its names in a checkpoint begin with ``network.``.
        mean, std: of the network's input, for values from 0 to 1. Vision-language tasks have 0.5, ImageNet its own statistics,
            as the released weights expect.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, of any layout; ``new_head=True`` in it to fine-tune a fine-tuned
            model for other classes or answers: its own head is left out.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(network, mean, std, init_cfg)

    def forward(
        self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]] | None = None, mode: str = "tensor"
    ) -> Any:
        """Run the model.

        Args:
            inputs: a batch's tensors.
            data_samples: a dict for each sample; needed for ``'loss'`` and ``'predict'``.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: for another mode, or where samples are missing.
        """
        if mode == "tensor":
            return self.outputs(inputs)
        if mode not in ("loss", "predict"):
            raise ValueError(f"{type(self).__name__} has no mode {mode!r}: 'tensor', 'loss' or 'predict'")
        if data_samples is None:
            raise ValueError(f"{type(self).__name__} needs data_samples for mode {mode!r}")
        return self.losses(inputs, data_samples) if mode == "loss" else self.predict(inputs, data_samples)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Any:
        """What the network says of a batch, as tensors."""
        raise NotImplementedError

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Losses of a batch, to be summed, and numbers for the log."""
        raise NotImplementedError

    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The samples with predictions added."""
        raise NotImplementedError
