"""Masked data modeling: the one objective of BEiT-3 on images, texts and pairs (arXiv 2208.10442, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.beit3 import Arch, BEiT3, BEiT3Output, Stream, run_streams, truncated_normal_
from mmbeit3.ops import Linear, widened

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
    over the masked patches or tokens of its stream in the batch of all ranks, with weights that can be given.

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
            truncated_normal_(head.weight)
            nn.init.zeros_(head.bias)

    def losses(self, batches: Mapping[str, MaskedBatch]) -> dict[str, Tensor]:
        """Predict what is masked, of all streams in one pass.

        Args:
            batches: names, such as ``images``, ``texts`` and ``pairs``, to what they hold.

        Returns:
            ``NAME.image.loss`` and ``NAME.text.loss``, weighted, to be summed; ``NAME.image.accuracy`` and
            ``NAME.text.accuracy`` (0 to 1). A part of which nothing is masked has the loss 0. With several ranks, each rank's
            loss is such that the mean over ranks, which is what their gradients become, is the mean over all that is masked.

        Raises:
            ValueError: if a stream's targets are missing or do not fit.
        """
        logits, targets = self._masked_logits(batches)
        results: dict[str, Tensor] = {}
        for part, count in zip(logits, _mean_counts(list(targets.values())), strict=True):
            weight = self.loss_weights.get(part, 1.0)
            # The sum over nothing, divided by one, keeps the heads in the graph, as distributed training wants.
            results[f"{part}.loss"] = weight * F.cross_entropy(widened(logits[part]), targets[part], reduction="sum") / count
            right = (logits[part].argmax(dim=-1) == targets[part]).float()
            results[f"{part}.accuracy"] = right.sum() / max(len(right), 1)
        return results

    @torch.no_grad()
    def fill_in(self, batches: Mapping[str, MaskedBatch]) -> dict[str, Tensor]:
        """What the model puts in the place of what is masked.

        Args:
            batches: as in :meth:`losses`.

        Returns:
            ``NAME.image``, codes (B, N), and ``NAME.text``, ids (B, T): the likeliest ones where something is masked, the true
            ones elsewhere.

        Raises:
            ValueError: as :meth:`losses`.
        """
        logits, _ = self._masked_logits(batches)
        results: dict[str, Tensor] = {}
        for part, scores in logits.items():
            name, kind = part.rsplit(".", 1)
            batch = batches[name]
            truth, masked = (
                (batch.codes, batch.stream.masked_positions) if kind == "image" else (batch.words, batch.masked_words)
            )
            assert truth is not None
            assert masked is not None
            results[part] = truth.clone()
            results[part][masked.flatten(1)] = scores.argmax(dim=-1)
        return results

    def _masked_logits(self, batches: Mapping[str, MaskedBatch]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Logits (M, K) and targets (M,) of what is masked, by part; the heads see nothing else."""
        outputs = run_streams(self, [batch.stream for batch in batches.values()])
        masked: dict[str, tuple[Tensor, Tensor]] = {}
        for (name, batch), output in zip(batches.items(), outputs, strict=True):
            for kind, found in _masked(name, batch, output).items():
                masked[f"{name}.{kind}"] = found
        logits = self._logits({part: features for part, (features, _) in masked.items()})
        return {part: logits[part] for part in masked}, {part: targets for part, (_, targets) in masked.items()}

    def _logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each head once, over what is masked in all streams: under FSDP its weights are gathered at each call."""
        logits: dict[str, Tensor] = {}
        for kind, head in (("image", self.mim_head), ("text", self.mlm_head)):
            parts = [part for part in features if part.endswith(f".{kind}")]
            if parts:
                together = head(torch.cat([features[part] for part in parts]))
                logits.update(zip(parts, together.split([len(features[part]) for part in parts]), strict=True))
        return logits


def _masked(name: str, batch: MaskedBatch, output: BEiT3Output) -> dict[str, tuple[Tensor, Tensor]]:
    """Features (M, C) and targets (M,) of what a stream masks, by kind."""
    found = {}
    stream = batch.stream
    if stream.masked_positions is not None:
        masked = stream.masked_positions.flatten(1)
        if batch.codes is None or batch.codes.shape != masked.shape:
            shape = None if batch.codes is None else tuple(batch.codes.shape)
            raise ValueError(f"stream '{name}' masks patches {tuple(masked.shape)}, but its codes are {shape}")
        assert output.vision is not None
        found["image"] = output.vision[:, 1:][masked], batch.codes[masked]
    if batch.masked_words is not None:
        if batch.words is None or output.language is None or batch.words.shape != batch.masked_words.shape:
            raise ValueError(f"stream '{name}' has masked_words without the words they hide, or of another shape")
        found["text"] = output.language[batch.masked_words], batch.words[batch.masked_words]
    if not found:
        raise ValueError(f"stream '{name}' masks nothing: give masked_positions, masked_words, or both")
    return found


def _mean_counts(targets: Sequence[Tensor]) -> list[Tensor | float]:
    """For each part how many targets a rank has on average, at least one target in all."""
    lengths = [len(part) for part in targets]
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return [float(max(length, 1)) for length in lengths]
    counts = torch.tensor(lengths, dtype=torch.float32, device=targets[0].device)
    dist.all_reduce(counts)
    return list(counts.clamp(min=1) / dist.get_world_size())
