"""Masked data modeling, the single objective of BEiT-3 on images, texts and pairs (arXiv 2208.10442, section 2.2)."""

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
from mmbeit3.pretrain.ranks import world_size

__all__ = ["MaskedBatch", "MaskedDataModeling"]


@dataclass
class MaskedBatch:
    """One stream of a step: the model's masked inputs and the targets.

    Attributes:
        stream: images with ``masked_positions``, texts with replaced tokens, or pairs of both.
        codes: the image tokenizer's codes (B, N) of all patches.
        words: true ids of the texts (B, T).
        masked_words: boolean (B, T), True = to be predicted.
    """

    stream: Stream
    codes: Tensor | None = None
    words: Tensor | None = None
    masked_words: Tensor | None = None


class MaskedDataModeling(BEiT3):
    """BEiT-3 with the two linear heads of pretraining on the final norm. Parameters are named as in the official files.

    The paper gives neither the weights of the losses nor how the two losses of a pair are combined. Here the total loss is the
    weighted sum of all losses, each a mean over the masked patches or tokens of its stream in the batch of all ranks.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        num_codes: number of codes of the image tokenizer.
        loss_weights: weights of losses by names such as ``'pairs.image'``; 1 if not given. The loss of a name such as
            ``'images.visible'`` is computed only if its weight is given: it predicts the codes of the patches that are not
            masked. The paper does not have it. Its task is easier, which helps short trainings.
        **kwargs: further arguments of :class:`~mmbeit3.models.beit3.BEiT3`.
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

    def losses(self, batches: Mapping[str, MaskedBatch], weighted: bool = True) -> dict[str, Tensor]:
        """Compute losses and accuracies of all streams in one pass.

        Args:
            batches: batches by stream name, such as ``images``, ``texts`` and ``pairs``.
            weighted: multiply losses by ``loss_weights``. False gives cross entropies in nats.

        Returns:
            Losses ``NAME.image.loss`` and ``NAME.text.loss``, to be summed, and ``NAME.image.accuracy`` and
            ``NAME.text.accuracy``, 0 to 1; ``NAME.visible.loss`` and ``NAME.visible.accuracy`` if they have a weight. A part
            without masked patches or tokens has the loss 0. With several ranks, the mean of a loss over ranks is the mean over
            all masked patches or tokens of all ranks; DDP and FSDP average gradients in the same way.

        Raises:
            ValueError: if a stream's targets are missing or have the wrong shape.
        """
        logits, targets = self._masked_logits(batches, visible=True)
        results: dict[str, Tensor] = {}
        for part, count in zip(logits, _mean_counts(list(targets.values())), strict=True):
            weight = self.loss_weights.get(part, 1.0) if weighted else 1.0
            # An empty sum is 0 with a gradient: the heads stay in the graph, which DDP and FSDP need.
            results[f"{part}.loss"] = weight * F.cross_entropy(widened(logits[part]), targets[part], reduction="sum") / count
            correct = (logits[part].argmax(dim=-1) == targets[part]).float()
            results[f"{part}.accuracy"] = correct.sum() / max(len(correct), 1)
        return results

    @torch.no_grad()
    def reconstruct(self, batches: Mapping[str, MaskedBatch]) -> dict[str, Tensor]:
        """Predict the masked patches and words.

        Args:
            batches: see :meth:`losses`.

        Returns:
            Codes ``NAME.image`` (B, N) and ids ``NAME.text`` (B, T): predictions at masked positions, true values at others.

        Raises:
            ValueError: see :meth:`losses`.
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

    def _masked_logits(
        self, batches: Mapping[str, MaskedBatch], visible: bool = False
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute logits (M, K) and targets (M,) of each part, at the M masked positions only.

        With ``visible``, there are also parts ``NAME.visible`` of the other patches, for the streams that have such a loss.
        """
        outputs = run_streams(self, [batch.stream for batch in batches.values()])
        masked: dict[str, tuple[Tensor, Tensor]] = {}
        for (name, batch), output in zip(batches.items(), outputs, strict=True):
            with_visible = visible and f"{name}.visible" in self.loss_weights
            for kind, found in _masked(name, batch, output, with_visible).items():
                masked[f"{name}.{kind}"] = found
        logits = self._logits({part: features for part, (features, _) in masked.items()})
        return {part: logits[part] for part in masked}, {part: targets for part, (_, targets) in masked.items()}

    def _logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Apply each head once to the masked positions of all streams: under FSDP each call gathers the head's weights."""
        logits: dict[str, Tensor] = {}
        for kinds, head in (((".image", ".visible"), self.mim_head), ((".text",), self.mlm_head)):
            parts = [part for part in features if part.endswith(kinds)]
            if parts:
                together = head(torch.cat([features[part] for part in parts]))
                logits.update(zip(parts, together.split([len(features[part]) for part in parts]), strict=True))
        return logits


def _masked(name: str, batch: MaskedBatch, output: BEiT3Output, visible: bool) -> dict[str, tuple[Tensor, Tensor]]:
    """Select features (M, C) and targets (M,) at a stream's masked positions, by kind (image, text, visible)."""
    found = {}
    stream = batch.stream
    if stream.masked_positions is not None:
        masked = stream.masked_positions.flatten(1)
        if batch.codes is None or batch.codes.shape != masked.shape:
            shape = None if batch.codes is None else tuple(batch.codes.shape)
            raise ValueError(
                f"stream '{name}' masks patches {tuple(masked.shape)}, but its codes are {shape}: give codes of the same shape"
            )
        assert output.vision is not None
        found["image"] = output.vision[:, 1:][masked], batch.codes[masked]
        if visible:
            found["visible"] = output.vision[:, 1:][~masked], batch.codes[~masked]
    if batch.masked_words is not None:
        if batch.words is None or output.language is None or batch.words.shape != batch.masked_words.shape:
            raise ValueError(f"stream '{name}' has masked_words without the words they mask, or words of another shape")
        found["text"] = output.language[batch.masked_words], batch.words[batch.masked_words]
    if not found:
        raise ValueError(f"stream '{name}' masks nothing: give masked_positions, masked_words, or both")
    return found


def _mean_counts(targets: Sequence[Tensor]) -> list[Tensor | float]:
    """Compute for each part the mean number of targets per rank, counting at least one target in total."""
    lengths = [len(part) for part in targets]
    if world_size() == 1:
        return [float(max(length, 1)) for length in lengths]
    counts = torch.tensor(lengths, dtype=torch.float32, device=targets[0].device)
    dist.all_reduce(counts)
    return list(counts.clamp(min=1) / world_size())
