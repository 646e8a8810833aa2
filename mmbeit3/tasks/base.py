"""Base class of the task models: batch format, modes and the methods that a task implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmbeit3.models.network_model import NetworkModel

__all__ = ["TaskModel"]


class TaskModel(NetworkModel):
    """A network in the form that MMEngine trains and tests.

    A batch has two parts. ``inputs`` is a dict of tensors: ``image`` (B, 3, H, W), uint8 RGB, ``tokens`` and ``padding_mask``
    (B, T). ``data_samples`` is a list of plain dicts, one per sample, with its ground truth and its ids. In mode ``'predict'``
    the model returns these dicts with its predictions added, which is the input of the metrics.

    Args:
        network: the network; its keys in a checkpoint have the prefix ``network.``.
        mean, std: mean and standard deviation of the network's input, for values from 0 to 1. The released weights expect 0.5
            for vision-language tasks, and ImageNet's statistics for ImageNet.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a checkpoint of any layout. Add ``new_head=True`` to start
            from a model that was fine-tuned for other classes or answers: the head of the checkpoint is skipped.
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
            inputs: the tensors of a batch.
            data_samples: one dict per sample; required for ``'loss'`` and ``'predict'``.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: if the mode is unknown, or it needs ``data_samples`` and there are none.
        """
        if mode == "tensor":
            return self.outputs(inputs)
        if mode not in ("loss", "predict"):
            raise ValueError(f"{type(self).__name__} has no mode {mode!r}: use 'tensor', 'loss' or 'predict'")
        if data_samples is None:
            raise ValueError(f"{type(self).__name__} needs data_samples for mode {mode!r}")
        return self.losses(inputs, data_samples) if mode == "loss" else self.predict(inputs, data_samples)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Any:
        """Return the output tensors of the network for a batch."""
        raise NotImplementedError

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return the losses of a batch, which MMEngine sums (keys with ``loss``), and other values for the log."""
        raise NotImplementedError

    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the samples with predictions added."""
        raise NotImplementedError
