"""Contrastive tuning of the two towers after masked data modeling, as MMEngine trains it (arXiv 2208.10442, appendix A)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import DualEncoder
from mmbeit3.models.losses import contrastive_loss
from mmbeit3.models.network_model import NetworkModel
from mmbeit3.registry import MODELS

__all__ = ["BEiT3ContrastiveTuner"]


@MODELS.register_module()
class BEiT3ContrastiveTuner(NetworkModel):
    """The dual encoder and its loss over the pairs of all processes.

    Args:
        network: arguments of :class:`~mmbeit3.models.beit3.DualEncoder`.
        mean, std: of the network's input, for values from 0 to 1.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` for the network: what masked data modeling left, ours or official.
            The projections and the temperature, which such a file lacks, stay as they were initialised; the log says so.
    """

    network: DualEncoder

    def __init__(
        self,
        network: Mapping[str, Any],
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(DualEncoder(**network), mean, std, init_cfg)

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]], data_samples: Any = None, mode: str = "loss") -> Any:
        """Loss, accuracies and temperature of a step.

        Args:
            inputs: one stream, ``pairs``, of ``image`` (B, 3, H, W), uint8 RGB, ``tokens`` and ``padding_mask`` (B, T).
            data_samples: not used.
            mode: ``'loss'``.

        Returns:
            ``loss_itc``, ``image_to_text.accuracy`` and ``text_to_image.accuracy`` (0 to 1), ``temperature``.

        Raises:
            UserError: for other streams, or pairs of which something is masked.
            ValueError: for another mode.
        """
        if mode != "loss":
            raise ValueError(
                f"BEiT3ContrastiveTuner has no mode {mode!r}: it is for training; load its weights into DualEncoder to use them"
            )
        pairs = _pairs(inputs)
        image = self.normalize(pairs["image"])
        scale = self.network.logit_scale.exp()
        loss, accuracies = contrastive_loss(*self.network.features(image, pairs["tokens"], pairs["padding_mask"]), scale)
        logged = {f"{name}.accuracy": value for name, value in accuracies.items()}
        return {"loss_itc": loss, **logged, "temperature": 1 / scale.detach()}


def _pairs(inputs: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """The one stream there must be."""
    if list(inputs) != ["pairs"] or not {"image", "tokens"} <= set(inputs["pairs"]):
        raise UserError(
            f"contrastive tuning takes one stream, named pairs and of that kind, got {', '.join(inputs) or 'none'}: change "
            "streams in the config's train_dataloader.dataset"
        )
    if {"masked_positions", "masked_words"} & set(inputs["pairs"]):
        raise UserError(
            "contrastive tuning compares whole images and texts, but something is masked in stream 'pairs': give it "
            "masking=dict(image_ratio=None, text_ratio=None)"
        )
    return inputs["pairs"]
