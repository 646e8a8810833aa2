"""The model that MMEngine trains in contrastive tuning, after masked data modeling (arXiv 2208.10442, appendix A)."""

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
    """A dual encoder with a contrastive loss over the pairs of all ranks.

    Args:
        network: arguments of :class:`~mmbeit3.models.beit3.DualEncoder`.
        mean, std: normalisation of the network's input, for values from 0 to 1.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``: a checkpoint of masked data modeling, from this package or
            official. It contains neither the projections nor the temperature, which keep their initial values; this is logged.
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
        """Compute loss, accuracies and temperature of a step.

        Args:
            inputs: a single stream ``pairs`` with ``image`` (B, 3, H, W), uint8 RGB, ``tokens`` and ``padding_mask`` (B, T).
            data_samples: not used.
            mode: ``'loss'``.

        Returns:
            ``loss_itc``, ``image_to_text.accuracy`` and ``text_to_image.accuracy`` (0 to 1), and ``temperature``.

        Raises:
            UserError: if there are other streams, or the pairs contain masks.
            ValueError: if ``mode`` has another value.
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
    """Return the single stream of pairs."""
    if list(inputs) != ["pairs"] or not {"image", "tokens"} <= set(inputs["pairs"]):
        raise UserError(
            f"contrastive tuning takes a single stream 'pairs' with kind='pairs', got {', '.join(inputs) or 'none'}: change "
            "streams in the config's train_dataloader.dataset"
        )
    if {"masked_positions", "masked_words"} & set(inputs["pairs"]):
        raise UserError(
            "contrastive tuning needs unmasked images and texts, but stream 'pairs' is masked: give it "
            "masking=dict(image_ratio=None, text_ratio=None)"
        )
    return inputs["pairs"]
