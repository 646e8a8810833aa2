"""Masked data modeling as MMEngine trains it."""

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
    """The network and the image tokenizer whose codes it predicts.

    Args:
        network: arguments of :class:`~mmbeit3.pretrain.MaskedDataModeling`; the codes are the tokenizer's.
        tokenizer: ``checkpoint``, a file of an image tokenizer, released or trained by ``mmbeit3.VQKDTrainer``. With
            ``preset='base'``, the released sizes, or with arguments of :class:`~mmbeit3.pretrain.image_tokenizers.VQKD`, the
            file is read when training starts. Without sizes the file is read at once and its shapes give the sizes. Sizes
            without a file give the codes of random weights, for tests only.
        mean, std: of the network's input, for values from 0 to 1; the tokenizer has its own.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` for the network.
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
        """Load the tokenizer, and what ``init_cfg`` names into the network. Called by MMEngine once the model is built.

        Raises:
            UserError: if a file cannot be used.
        """
        if self.tokenizer_checkpoint is not None:
            state = read_vqkd_state(self.tokenizer_checkpoint)
            wanted = self.tokenizer.state_dict()
            if lacking := [name for name in wanted if name not in state or state[name].shape != wanted[name].shape]:
                raise UserError(
                    f"image tokenizer '{self.tokenizer_checkpoint}' does not fit: {lacking[0]} is missing or of another size "
                    f"({len(lacking)} of {len(wanted)} tensors)"
                )
            self.tokenizer.load_state_dict({name: state[name] for name in wanted})
        super().init_weights()

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]], data_samples: Any = None, mode: str = "loss") -> Any:
        """Losses and accuracies of a step, or what the model takes the masked parts for.

        Args:
            inputs: streams by name; each may hold ``image`` (B, 3, H, W), uint8 RGB, with ``masked_positions`` (B, h, w), and
                ``tokens``, ``padding_mask``, ``words`` and ``masked_words`` (B, T).
            data_samples: not used.
            mode: ``'loss'``, or ``'predict'`` for :meth:`~mmbeit3.pretrain.MaskedDataModeling.fill_in` with, besides,
                ``NAME.codes``, the image tokenizer's true codes (B, N).

        Raises:
            ValueError: for another mode.
        """
        batches = {name: self._batch(stream) for name, stream in inputs.items()}
        if mode == "loss":
            return self.network.losses(batches)
        if mode == "predict":
            codes = {f"{name}.codes": batch.codes for name, batch in batches.items() if batch.codes is not None}
            return {**codes, **self.network.fill_in(batches)}
        raise ValueError(f"BEiT3Pretrainer has no mode {mode!r}: 'loss' or 'predict'; for features load its weights into BEiT3")

    def _batch(self, given: Mapping[str, Tensor]) -> MaskedBatch:
        stream = Stream(tokens=given.get("tokens"), padding_mask=given.get("padding_mask"))
        codes = None
        if "image" in given:
            masked = given["masked_positions"]
            codes = codes_for_grid(self.tokenizer, given["image"].float() / 255, (masked.shape[1], masked.shape[2]))
            stream.image = self.normalize(given["image"])
            stream.masked_positions = masked.flatten(1)
        return MaskedBatch(stream, codes, given.get("words"), given.get("masked_words"))
