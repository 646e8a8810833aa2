"""Captioning: an image becomes a sentence, one masked word after the other."""

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
from mmbeit3.tasks.decoding import ScoredText, best_texts, sample
from mmbeit3.tasks.heads import freeze_unreached, init_linears
from mmbeit3.tasks.masked_captions import keep_best, mask_captions, smoothed_loss
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["BEiT3Captioning", "CaptioningNetwork", "NextCaptionWords"]

_RELEASED_MASK_ID = 64001
_DECODINGS = ("beam", "greedy", "top_p")


class CaptioningNetwork(BEiT3):
    """BEiT-3 with a head for words; names as in the official captioning files.

    Text sees the image and earlier text, the image only itself. So what comes after the image's last attention is never
    reached, and frozen (see :func:`~mmbeit3.tasks.heads.freeze_unreached`).

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        **kwargs: those of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        self.mlm_head = Linear(self.arch.embed_dims, self.arch.vocab_size)
        init_linears(self.mlm_head)
        freeze_unreached(self)
        last = self.vision.experts[-1]
        unreached: list[nn.Module] = [self.vision.norm, last.ffn]
        if self.arch.attention == "decoupled":
            unreached += [last.attn.inner_norm, last.attn.out]
        for module in unreached:
            module.requires_grad_(False)

    def logits(self, image: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Scores of the words at each place, before softmax.

        Args:
            image: (B, 3, H, W), normalised.
            tokens: ids (B, T), ``<s>`` first. Each place sees those up to itself, and is to be the mask token's.
            padding_mask: boolean (B, T), True = pad.

        Returns:
            (B, T, V); undefined where there is padding.
        """
        return self.mlm_head(self(image, tokens, padding_mask, causal_text=True).language)


class NextCaptionWords:
    """The next words of captions, for :mod:`~mmbeit3.tasks.decoding`.

    Args:
        network: the network, in evaluation mode.
        image: (B, 3, H, W), normalised.
        mask_id: id of the mask token.
        num_beams: texts K of each image.
        max_length: as in :func:`~mmbeit3.tasks.decoding.beam_search`.

    Raises:
        ValueError: if the network has no positions for so long texts.
    """

    def __init__(self, network: CaptioningNetwork, image: Tensor, mask_id: int, num_beams: int, max_length: int) -> None:
        self.head = network.mlm_head
        self.encoder = IncrementalEncoder(network, image, mask_id, num_beams, max_steps=max_length - 2)

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Scores of the words after ``words`` (B, K), before softmax: (B, K, V); ``beams`` (B, K) are those gone on with."""
        return self.head(self.encoder.step(words, beams))

    def keep(self, images: Tensor) -> None:
        """Go on with these images (B',) alone."""
        self.encoder.keep(images)


@MODELS.register_module()
class BEiT3Captioning(TaskModel):
    """Masked fine-tuning for captions, and their decoding (arXiv 2208.10442, appendix; the numbers are the released code's).

    In training ``tokens`` are captions; ``data_samples`` are not looked at. Predictions are ``pred_tokens``, a list of ids from
    ``<s>`` to ``</s>``, and with a tokenizer ``pred_caption``, a string. With ``num_captions`` above 1 these are of the best
    caption, and ``pred_captions`` are all, best first: dicts of ``tokens``, ``score`` and, with a tokenizer, ``caption``.

    Args:
        network: arguments of :class:`CaptioningNetwork`.
        tokenizer: SentencePiece model; without it predictions are ids alone.
        mask_id: id of the mask token; by default the tokenizer's or, without one, that of the released vocabulary.
        mask_ratio: share of a caption's tokens to predict.
        label_smoothing: probability that all words but the true one share.
        drop_worst_ratio: share of the masked words, those of the highest losses, that are left out late in training.
        drop_worst_after: iteration from which they are. It is counted by MMEngine's runner, and so is right after a resume.
        decoding: ``'beam'``, ``'greedy'`` (one beam), or ``'top_p'`` (drawn at random).
        num_beams, max_length, length_penalty: see :func:`~mmbeit3.tasks.decoding.best_texts`.
        top_p, temperature: see :func:`~mmbeit3.tasks.decoding.top_p_words`.
        min_length: fewest words (tokens) of a caption, from 0 to ``max_length - 3``.
        num_captions: captions of each image, from 1 to ``num_beams``; 1 unless ``decoding`` is ``'beam'``.
        **kwargs: those of :class:`~mmbeit3.tasks.base.TaskModel`.

    Raises:
        UserError: for an unusable tokenizer, or settings that are out of range or do not fit together.
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
        known = _RELEASED_MASK_ID if self.tokenizer is None else self.tokenizer.mask_id
        self.mask_id = known if mask_id is None else mask_id
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
        self._check(tokenizer)
        self._check_wanted(min_length, num_captions)

    def _check(self, tokenizer: str | None) -> None:
        arch = self.network.arch
        if self.tokenizer is not None and self.mask_id != self.tokenizer.mask_id:
            raise UserError(
                f"captioning: mask_id is {self.mask_id}, but that of tokenizer '{tokenizer}' is {self.tokenizer.mask_id}: "
                "leave mask_id out"
            )
        if not 3 < self.mask_id < arch.vocab_size:
            raise UserError(
                f"captioning: the mask token is {self.mask_id}, but the network has words 0 to {arch.vocab_size - 1}: set its "
                "arch's vocab_size, or mask_id"
            )
        if self.decoding not in _DECODINGS:
            raise UserError(f"captioning: decoding must be one of {', '.join(_DECODINGS)}, got {self.decoding!r}")
        longest = arch.max_text_positions - UNUSED_POSITIONS + 1
        if not 4 <= self.max_length <= longest:
            raise UserError(f"captioning: max_length must be from 4 to {longest} with this network, got {self.max_length}")
        if self.num_beams < 1 or not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise UserError("captioning: num_beams must be at least 1, top_p above 0 and at most 1, temperature above 0")
        shares = {
            "mask_ratio": self.mask_ratio,
            "label_smoothing": self.label_smoothing,
            "drop_worst_ratio": self.drop_worst_ratio,
        }
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise UserError(f"captioning: {name} must be from 0 to below 1, got {share}")

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Scores of the words at each place of the text (B, T, V)."""
        return self.network.logits(self.normalize(inputs["image"]), inputs["tokens"], inputs.get("padding_mask"))

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Mask words and predict them; ``loss_caption``, a mean over the masked words, and their ``accuracy`` (0 to 1)."""
        words, padding_mask = inputs["tokens"], inputs["padding_mask"]
        tokens, masked = mask_captions(words, padding_mask, self.mask_ratio, self.mask_id)
        encoded = self.network(self.normalize(inputs["image"]), tokens, padding_mask, causal_text=True)
        logits, targets = self.network.mlm_head(encoded.language[masked]), words[masked]
        losses = smoothed_loss(logits, targets, self.label_smoothing)
        if MessageHub.get_current_instance().get_info("iter", 0) >= self.drop_worst_after:
            losses = keep_best(losses, self.drop_worst_ratio)
        return {"loss_caption": losses.mean(), "accuracy": (logits.argmax(dim=-1) == targets).float().mean()}

    def _check_wanted(self, min_length: int, num_captions: int) -> None:
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
        """Add captions to the samples, see the class; of the inputs only ``image`` is used.

        Args:
            inputs: a batch's tensors.
            data_samples: a dict for each image.
            min_length, num_captions: default the model's.

        Raises:
            UserError: if one of these is out of range.
        """
        if (self.num_captions if num_captions is None else num_captions) == 1:
            predicted = [self._as_words("pred_", ids) for ids in self.generate(inputs["image"], min_length=min_length)]
        else:
            predicted = [
                {
                    **self._as_words("pred_", texts[0].ids),
                    "pred_captions": [{**self._as_words("", text.ids), "score": text.score} for text in texts],
                }
                for texts in self.generate_best(inputs["image"], min_length, num_captions)
            ]
        return [{**data_sample, **found} for data_sample, found in zip(data_samples, predicted, strict=True)]

    def _as_words(self, prefix: str, ids: list[int]) -> dict[str, Any]:
        words = {} if self.tokenizer is None else {f"{prefix}caption": self.tokenizer.decode(ids)}
        return {f"{prefix}tokens": ids, **words}

    @torch.no_grad()
    def generate(
        self, image: Tensor, generator: torch.Generator | None = None, min_length: int | None = None
    ) -> list[list[int]]:
        """Caption images.

        Args:
            image: (B, 3, H, W), uint8 RGB.
            generator: source of randomness on the images' device, for ``'top_p'``.
            min_length: default the model's.

        Returns:
            For each image ids from ``<s>`` to ``</s>``.

        Raises:
            UserError: if ``min_length`` is out of range.
        """
        if self.decoding != "top_p":
            return [texts[0].ids for texts in self.generate_best(image, min_length, num_captions=1)]
        least = self.min_length if min_length is None else min_length
        self._check_wanted(least, 1)
        next_words, start = self._begin(image)
        return sample(next_words, start, self.max_length, self.top_p, self.temperature, TextTokenizer.eos_id, generator, least)

    @torch.no_grad()
    def generate_best(
        self, image: Tensor, min_length: int | None = None, num_captions: int | None = None
    ) -> list[list[ScoredText]]:
        """The best captions of images by beam search, see :func:`~mmbeit3.tasks.decoding.best_texts`.

        Args:
            image: (B, 3, H, W), uint8 RGB.
            min_length, num_captions: default the model's.

        Returns:
            For each image its captions, ids and score, best first.

        Raises:
            UserError: if one of the numbers is out of range.
        """
        least = self.min_length if min_length is None else min_length
        count = self.num_captions if num_captions is None else num_captions
        self._check_wanted(least, count)
        eos_id = TextTokenizer.eos_id
        return best_texts(*self._begin(image), count, self.num_beams, self.max_length, self.length_penalty, eos_id, least)

    def _begin(self, image: Tensor) -> tuple[NextCaptionWords, Tensor]:
        """What knows the next words of images, uint8 RGB, and the first words (B,)."""
        image = self.normalize(image)
        start = torch.full((len(image),), TextTokenizer.bos_id, device=image.device)
        return NextCaptionWords(self.network, image, self.mask_id, self.num_beams, self.max_length), start
