"""The model that MMEngine trains by masked data modeling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import Stream
from mmbeit3.models.network_model import NetworkModel
from mmbeit3.pretrain.image_tokenizers import build_vqkd, codes_for_grid, load_vqkd, read_vqkd_state
from mmbeit3.pretrain.model import MaskedBatch, MaskedDataModeling
from mmbeit3.registry import MODELS

__all__ = ["BEiT3Pretrainer"]


@MODELS.register_module()
class BEiT3Pretrainer(NetworkModel):
    """A :class:`~mmbeit3.pretrain.MaskedDataModeling` network and the frozen image tokenizer whose codes it predicts.

    Args:
        network: arguments of :class:`~mmbeit3.pretrain.MaskedDataModeling` without ``num_codes``, which the tokenizer gives.
        tokenizer: ``checkpoint``, the file of an image tokenizer, released or trained by ``mmbeit3.VQKDTrainer``. If
            ``preset='base'`` (the released sizes) or arguments of :class:`~mmbeit3.pretrain.image_tokenizers.VQKD` are given
            too, the file is read when training starts. Without sizes it is read at once to infer them from its shapes.
            Sizes without a file give a tokenizer of random weights, which is useful for tests only.
        mean, std: normalisation of the network's input, for values from 0 to 1. The tokenizer has its own normalisation.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, initial weights of the network.
    """

    network: MaskedDataModeling

    def __init__(
        self,
        network: Mapping[str, Any],
        tokenizer: Mapping[str, Any],
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        sizes = dict(tokenizer)
        checkpoint = sizes.pop("checkpoint", None)
        if sizes or checkpoint is None:
            codes = build_vqkd(sizes, teacher_dims=None, frozen=True)
        else:
            codes, checkpoint = load_vqkd(checkpoint, teacher_dims=None, frozen=True), None
        super().__init__(MaskedDataModeling(**network, num_codes=codes.num_codes), mean, std, init_cfg)
        self.tokenizer, self.tokenizer_checkpoint = codes, checkpoint

    def init_weights(self) -> None:
        """Load the tokenizer's file, and the file of ``init_cfg`` into the network. MMEngine calls this before training.

        Raises:
            UserError: if a file cannot be read or does not fit.
        """
        if self.tokenizer_checkpoint is not None:
            state = read_vqkd_state(self.tokenizer_checkpoint)
            wanted = self.tokenizer.state_dict()
            if mismatched := [name for name in wanted if name not in state or state[name].shape != wanted[name].shape]:
                raise UserError(
                    f"image tokenizer '{self.tokenizer_checkpoint}' does not fit: {mismatched[0]} is missing or has another "
                    f"shape ({len(mismatched)} of {len(wanted)} tensors): check the sizes in model.tokenizer"
                )
            self.tokenizer.load_state_dict({name: state[name] for name in wanted})
        super().init_weights()

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]], data_samples: Any = None, mode: str = "loss") -> Any:
        """Compute losses and accuracies of a step, or predict the masked parts.

        Args:
            inputs: streams by name; each contains ``image`` (B, 3, H, W), uint8 RGB, with ``masked_positions`` (B, h, w), or
                ``tokens``, ``padding_mask``, ``words`` and ``masked_words`` (B, T), or both. In a pair, either the image or
                the text may be unmasked: then its ``masked_positions``, or ``words`` and ``masked_words``, are missing.
            data_samples: not used.
            mode: ``'loss'`` for :meth:`~mmbeit3.pretrain.MaskedDataModeling.losses`, ``'evaluate'`` for the same without
                weights; ``'predict'`` for
                :meth:`~mmbeit3.pretrain.MaskedDataModeling.reconstruct` and the image tokenizer's true codes, ``NAME.codes``
                (B, N).

        Raises:
            ValueError: if ``mode`` has another value.
        """
        batches = {name: self._batch(stream) for name, stream in inputs.items()}
        if mode in ("loss", "evaluate"):
            return self.network.losses(batches, weighted=mode == "loss")
        if mode == "predict":
            codes = {f"{name}.codes": batch.codes for name, batch in batches.items() if batch.codes is not None}
            return {**codes, **self.network.reconstruct(batches)}
        raise ValueError(
            f"BEiT3Pretrainer has no mode {mode!r}: use 'loss', 'evaluate' or 'predict', or load its weights into BEiT3 for "
            "features"
        )

    def _batch(self, inputs: Mapping[str, Tensor]) -> MaskedBatch:
        stream = Stream(tokens=inputs.get("tokens"), padding_mask=inputs.get("padding_mask"))
        codes = None
        if "image" in inputs:
            stream.image = self.normalize(inputs["image"])
            masked = inputs.get("masked_positions")
            if masked is not None:
                codes = codes_for_grid(self.tokenizer, inputs["image"].float() / 255, (masked.shape[1], masked.shape[2]))
                stream.masked_positions = masked.flatten(1)
        return MaskedBatch(stream, codes, inputs.get("words"), inputs.get("masked_words"))
