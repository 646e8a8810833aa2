"""Image captioning: masked fine-tuning, and decoding that predicts one masked word after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, Arch, BEiT3
from mmbeit3.models.beit3.incremental import IncrementalEncoder
from mmbeit3.ops import Linear
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.decoding import BeamSearchOptions, ScoredText, best_texts, sample
from mmbeit3.tasks.heads import freeze_unused, init_linears
from mmbeit3.tasks.masked_captions import keep_best, mask_captions, smoothed_loss
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["BEiT3Captioning", "CaptioningNetwork", "NextCaptionWords"]

_RELEASED_MASK_ID = 64001
_DECODINGS = ("beam", "greedy", "top_p")


class CaptioningNetwork(BEiT3):
    """BEiT-3 with a head that predicts words; the state dict keys are those of the official captioning checkpoints.

    The text attends to the image and to earlier text, the image only to itself. So the output of the image's last attention
    is not used, and the parameters behind it are frozen (see :func:`~mmbeit3.tasks.heads.freeze_unused`).

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        **kwargs: further arguments of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        self.mlm_head = Linear(self.arch.embed_dims, self.arch.vocab_size)
        init_linears(self.mlm_head)
        freeze_unused(self)
        last = self.vision.experts[-1]
        unused: list[nn.Module] = [self.vision.norm, last.ffn]
        if self.arch.attention == "decoupled":
            unused += [last.attn.inner_norm, last.attn.out]
        for module in unused:
            module.requires_grad_(False)

    def logits(self, image: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Return the logits of the words at each position.

        Args:
            image: (B, 3, H, W), normalised.
            tokens: ids (B, T), ``<s>`` first. Each position attends to itself and to earlier ones. A position whose word is to
                be predicted holds the mask token.
            padding_mask: boolean (B, T), True = pad.

        Returns:
            (B, T, V); undefined at padded positions.
        """
        return self.mlm_head(self(image, tokens, padding_mask, causal_text=True).language)


class NextCaptionWords:
    """Decoder with a KV cache: the :class:`~mmbeit3.tasks.decoding.NextWords` of a captioning network.

    Args:
        network: the network, in evaluation mode.
        image: (B, 3, H, W), normalised.
        mask_id: id of the mask token.
        num_beams: texts K per image.
        max_length: as in :class:`~mmbeit3.tasks.decoding.BeamSearchOptions`.

    Raises:
        ValueError: if the network has too few text positions for ``max_length``.
    """

    def __init__(self, network: CaptioningNetwork, image: Tensor, mask_id: int, num_beams: int, max_length: int) -> None:
        self.head = network.mlm_head
        self.encoder = IncrementalEncoder(network, image, mask_id, num_beams, max_steps=max_length - 2)

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Return the logits (B, K, V) after ``words`` (B, K), see :meth:`~mmbeit3.tasks.decoding.NextWords.step`."""
        return self.head(self.encoder.step(words, beams))

    def keep(self, images: Tensor) -> None:
        """Keep only these images (B',), see :meth:`~mmbeit3.tasks.decoding.NextWords.keep`."""
        self.encoder.keep(images)


@MODELS.register_module()
class BEiT3Captioning(TaskModel):
    """Masked fine-tuning and decoding of captions (arXiv 2208.10442, appendix; the defaults are those of the released code).

    In training ``tokens`` are the captions; ``data_samples`` are not used. A prediction is ``pred_tokens``, a list of ids from
    ``<s>`` to ``</s>``, and, with a tokenizer, ``pred_caption``, a string. If ``num_captions`` is above 1, these are the best
    caption, and ``pred_captions`` lists all, best first: dicts of ``tokens``, ``score`` and, with a tokenizer, ``caption``.

    Args:
        network: arguments of :class:`CaptioningNetwork`.
        tokenizer: file of the SentencePiece model; without it, predictions are ids only.
        mask_id: id of the mask token; default that of the tokenizer or, without one, of the released vocabulary.
        mask_ratio: fraction of a caption's tokens to predict.
        label_smoothing: target probability of all wrong words together.
        drop_worst_ratio: fraction of the masked words, those with the highest losses, to ignore late in training.
        drop_worst_after: first iteration that ignores them. MMEngine's runner counts it, also across a resume.
        decoding: ``'beam'``, ``'greedy'`` (one beam), or ``'top_p'`` (sampling).
        num_beams, max_length, length_penalty: see :class:`~mmbeit3.tasks.decoding.BeamSearchOptions`.
        top_p, temperature: see :func:`~mmbeit3.tasks.decoding.top_p_words`.
        min_length: smallest number of words (tokens) of a caption, from 0 to ``max_length - 3``.
        num_captions: captions per image, from 1 to ``num_beams``; 1 unless ``decoding`` is ``'beam'``.
        **kwargs: further arguments of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: if the tokenizer cannot be used, or a setting is out of range or does not fit another one.
    """

    network: CaptioningNetwork

    def __init__(
        self,
        network: Mapping[str, Any],
        tokenizer: str | None = None,
        mask_id: int | None = None,
        mask_ratio: float = 0.7,
        label_smoothing: float = 0.1,
        drop_worst_ratio: float = 0.2,
        drop_worst_after: int = 12000,
        decoding: str = "beam",
        num_beams: int = 3,
        max_length: int = 64,
        length_penalty: float = 0.6,
        top_p: float = 0.9,
        temperature: float = 1.0,
        min_length: int = 0,
        num_captions: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(CaptioningNetwork(**network), **kwargs)
        self.tokenizer = None if tokenizer is None else TextTokenizer(tokenizer)
        default_mask_id = _RELEASED_MASK_ID if self.tokenizer is None else self.tokenizer.mask_id
        self.mask_id = default_mask_id if mask_id is None else mask_id
        self.mask_ratio = mask_ratio
        self.label_smoothing = label_smoothing
        self.drop_worst_ratio = drop_worst_ratio
        self.drop_worst_after = drop_worst_after
        self.decoding = decoding
        self.num_beams = 1 if decoding in ("greedy", "top_p") else num_beams
        self.max_length = max_length
        self.length_penalty = length_penalty
        self.top_p = top_p
        self.temperature = temperature
        self.min_length = min_length
        self.num_captions = num_captions
        self._check_settings(tokenizer)
        self._check_request(min_length, num_captions)

    def _check_settings(self, tokenizer: str | None) -> None:
        arch = self.network.arch
        if self.tokenizer is not None and self.mask_id != self.tokenizer.mask_id:
            raise UserError(
                f"captioning: mask_id is {self.mask_id}, but tokenizer '{tokenizer}' has mask_id {self.tokenizer.mask_id}: "
                "leave mask_id out"
            )
        if not 3 < self.mask_id < arch.vocab_size:
            raise UserError(
                f"captioning: mask_id is {self.mask_id}, but the network has the word ids 0 to {arch.vocab_size - 1}: set "
                "vocab_size of network.arch, or mask_id"
            )
        if self.decoding not in _DECODINGS:
            raise UserError(f"captioning: decoding must be one of {', '.join(_DECODINGS)}, got {self.decoding!r}")
        longest = arch.max_text_positions - UNUSED_POSITIONS + 1
        if not 4 <= self.max_length <= longest:
            raise UserError(f"captioning: max_length must be from 4 to {longest} with this network, got {self.max_length}")
        if self.num_beams < 1 or not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise UserError(
                "captioning: num_beams must be at least 1, top_p above 0 and at most 1, temperature above 0, got "
                f"{self.num_beams}, {self.top_p} and {self.temperature}"
            )
        for name in ("mask_ratio", "label_smoothing", "drop_worst_ratio"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"captioning: {name} must be from 0 to below 1, got {getattr(self, name)}")

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of the words at each position of the text (B, T, V)."""
        return self.network.logits(self.normalize(inputs["image"]), inputs["tokens"], inputs.get("padding_mask"))

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Mask words and return ``loss_caption``, a mean over the masked words, and their ``accuracy`` (0 to 1)."""
        words, padding_mask = inputs["tokens"], inputs["padding_mask"]
        tokens, masked = mask_captions(words, padding_mask, self.mask_ratio, self.mask_id)
        encoded = self.network(self.normalize(inputs["image"]), tokens, padding_mask, causal_text=True)
        logits, targets = self.network.mlm_head(encoded.language[masked]), words[masked]
        losses = smoothed_loss(logits, targets, self.label_smoothing)
        # The message hub holds the iteration of the running MMEngine runner; without a runner it is 0.
        if MessageHub.get_current_instance().get_info("iter", 0) >= self.drop_worst_after:
            losses = keep_best(losses, self.drop_worst_ratio)
        return {"loss_caption": losses.mean(), "accuracy": (logits.argmax(dim=-1) == targets).float().mean()}

    def _check_request(self, min_length: int, num_captions: int) -> None:
        if type(min_length) is not int or not 0 <= min_length <= self.max_length - 3:
            raise UserError(
                f"captioning: min_length must be a whole number from 0 to {self.max_length - 3} with max_length "
                f"{self.max_length}, got {min_length!r}"
            )
        if type(num_captions) is not int or not 1 <= num_captions <= self.num_beams:
            why = f"num_beams is {self.num_beams}" if self.decoding == "beam" else f"decoding is '{self.decoding}', not 'beam'"
            raise UserError(
                f"captioning: num_captions must be a whole number from 1 to {self.num_beams} ({why}), got {num_captions!r}"
            )

    def predict(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: Sequence[Mapping[str, Any]],
        min_length: int | None = None,
        num_captions: int | None = None,
    ) -> list[dict[str, Any]]:
        """Add captions to the samples, see the class.

        Args:
            inputs: the tensors of a batch; only ``image`` is used.
            data_samples: one dict per image.
            min_length, num_captions: override the settings of the model.

        Raises:
            UserError: if ``min_length`` or ``num_captions`` is out of range.
        """
        if (self.num_captions if num_captions is None else num_captions) == 1:
            predicted = [self._with_text("pred_", ids) for ids in self.generate(inputs["image"], min_length=min_length)]
        else:
            predicted = [
                {
                    **self._with_text("pred_", texts[0].ids),
                    "pred_captions": [{**self._with_text("", text.ids), "score": text.score} for text in texts],
                }
                for texts in self.generate_best(inputs["image"], min_length, num_captions)
            ]
        return [{**data_sample, **found} for data_sample, found in zip(data_samples, predicted, strict=True)]

    def _with_text(self, prefix: str, ids: list[int]) -> dict[str, Any]:
        text = {} if self.tokenizer is None else {f"{prefix}caption": self.tokenizer.decode(ids)}
        return {f"{prefix}tokens": ids, **text}

    @torch.no_grad()
    def generate(
        self, image: Tensor, generator: torch.Generator | None = None, min_length: int | None = None
    ) -> list[list[int]]:
        """Caption images.

        Args:
            image: (B, 3, H, W), uint8 RGB.
            generator: source of randomness on the images' device, for ``'top_p'``.
            min_length: overrides the setting of the model.

        Returns:
            For each image the ids from ``<s>`` to ``</s>``.

        Raises:
            UserError: if ``min_length`` is out of range.
        """
        if self.decoding != "top_p":
            return [texts[0].ids for texts in self.generate_best(image, min_length, num_captions=1)]
        min_length = self.min_length if min_length is None else min_length
        self._check_request(min_length, 1)
        eos_id = TextTokenizer.eos_id
        next_words, start = self._start_decoding(image)
        return sample(next_words, start, self.max_length, self.top_p, self.temperature, eos_id, generator, min_length)

    @torch.no_grad()
    def generate_best(
        self, image: Tensor, min_length: int | None = None, num_captions: int | None = None
    ) -> list[list[ScoredText]]:
        """Find the best captions of images by beam search, see :func:`~mmbeit3.tasks.decoding.best_texts`.

        Args:
            image: (B, 3, H, W), uint8 RGB.
            min_length, num_captions: override the settings of the model.

        Returns:
            For each image its captions, ids and score, best first.

        Raises:
            UserError: if ``min_length`` or ``num_captions`` is out of range.
        """
        min_length = self.min_length if min_length is None else min_length
        num_captions = self.num_captions if num_captions is None else num_captions
        self._check_request(min_length, num_captions)
        options = BeamSearchOptions(self.num_beams, self.max_length, self.length_penalty, min_length, TextTokenizer.eos_id)
        return best_texts(*self._start_decoding(image), num_captions, options)

    def _start_decoding(self, image: Tensor) -> tuple[NextCaptionWords, Tensor]:
        """Return a decoder for images (B, 3, H, W), uint8 RGB, and the ids of their first words (B,)."""
        image = self.normalize(image)
        start = torch.full((len(image),), TextTokenizer.bos_id, device=image.device)
        return NextCaptionWords(self.network, image, self.mask_id, self.num_beams, self.max_length), start
