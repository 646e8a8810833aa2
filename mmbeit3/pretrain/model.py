"""Masked data modeling: the one objective of BEiT-3 on images, texts and pairs (arXiv 2208.10442, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.beit3 import Arch, BEiT3, BEiT3Output, Stream, run_streams
from mmbeit3.ops import Linear

__all__ = ["MaskedBatch", "MaskedDataModeling"]


@dataclass
class MaskedBatch:
    """One stream of a step: what the model sees, and what it shall say of what it does not see.

    Attributes:
        stream: images with ``masked_positions``, texts with replaced tokens, or pairs of both.
        codes: the image tokenizer's codes (B, N), of all patches.
        words: the texts' true ids (B, T).
        masked_words: boolean (B, T), True = to be predicted.
    """

    stream: Stream
    codes: Tensor | None = None
    words: Tensor | None = None
    masked_words: Tensor | None = None


class MaskedDataModeling(BEiT3):
    """BEiT-3 with the two heads of pretraining, directly on the final norm; names as in the official files.

    The paper states neither weights of the losses nor how those of a pair are put together. Chosen: the sum of all, each a mean
    over the masked patches or tokens of its stream in this batch, with weights that can be given.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        num_codes: codes of the image tokenizer.
        loss_weights: names such as ``'pairs.image'`` to weights; 1 for others.
        **kwargs: those of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] | Arch,
        num_codes: int = 8192,
        loss_weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(arch, **kwargs)
        self.loss_weights = dict(loss_weights or {})
        self.mim_head = Linear(self.arch.embed_dims, num_codes)
        self.mlm_head = Linear(self.arch.embed_dims, self.arch.vocab_size)
        for head in (self.mim_head, self.mlm_head):
            nn.init.trunc_normal_(head.weight, std=0.02, a=-0.02, b=0.02)
            nn.init.zeros_(head.bias)

    def losses(self, batches: Mapping[str, MaskedBatch]) -> dict[str, Tensor]:
        """Predict what is masked, of all streams in one pass.

        Args:
            batches: names, such as ``images``, ``texts`` and ``pairs``, to what they hold.

        Returns:
            ``NAME.image.loss`` and ``NAME.text.loss``, weighted, to be summed; ``NAME.image.accuracy`` and
            ``NAME.text.accuracy`` (0 to 1). A part of which nothing is masked has the loss 0.

        Raises:
            ValueError: if a stream's targets are missing or do not fit.
        """
        outputs = run_streams(self, [batch.stream for batch in batches.values()])
        results: dict[str, Tensor] = {}
        for (name, batch), output in zip(batches.items(), outputs, strict=True):
            for kind, (logits, targets) in self._predictions(name, batch, output).items():
                weight = self.loss_weights.get(f"{name}.{kind}", 1.0)
                # The sum over nothing, divided by one, keeps the heads in the graph, as distributed training wants.
                count = max(len(targets), 1)
                results[f"{name}.{kind}.loss"] = weight * F.cross_entropy(logits.float(), targets, reduction="sum") / count
                results[f"{name}.{kind}.accuracy"] = (logits.argmax(dim=-1) == targets).float().sum() / count
        return results

    def _predictions(self, name: str, batch: MaskedBatch, output: BEiT3Output) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits and targets of what is masked: the heads see nothing else."""
        found = {}
        stream = batch.stream
        if stream.masked_positions is not None:
            masked = stream.masked_positions.flatten(1)
            if batch.codes is None or batch.codes.shape != masked.shape:
                shape = None if batch.codes is None else tuple(batch.codes.shape)
                raise ValueError(f"stream '{name}' masks patches {tuple(masked.shape)}, but its codes are {shape}")
            assert output.vision is not None
            found["image"] = self.mim_head(output.vision[:, 1:][masked]), batch.codes[masked]
        if batch.masked_words is not None:
            if batch.words is None or output.language is None or batch.words.shape != batch.masked_words.shape:
                raise ValueError(f"stream '{name}' has masked_words without the words they hide, or of another shape")
            found["text"] = self.mlm_head(output.language[batch.masked_words]), batch.words[batch.masked_words]
        if not found:
            raise ValueError(f"stream '{name}' masks nothing: give masked_positions, masked_words, or both")
        return found
