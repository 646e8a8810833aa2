"""Encode several streams (batches of images, of texts, of pairs) in one pass, without padding.

Tokens are packed: a segment holds the tokens of all its streams as rows (M, C), so each module runs once. Only attention runs
per stream, on tokens (B, N, C) with padding. The results equal those of separate passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mmbeit3.models.beit3.layer import Segment, joint_attention
from mmbeit3.models.beit3.model import BEiT3, BEiT3Output
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops import Residual, attend

__all__ = ["Stream", "run_streams"]


@dataclass
class Stream:
    """One batch of images, of texts, or of pairs; the attributes are the arguments of :meth:`BEiT3.forward`.

    Attributes:
        image: (B, 3, H, W).
        tokens: ids (B, T).
        padding_mask: boolean (B, T), True = pad.
        masked_positions: boolean (B, N), True = this patch is replaced by the mask token.
        causal_text: use the attention mask of captioning.
    """

    image: Tensor | None = None
    tokens: Tensor | None = None
    padding_mask: Tensor | None = None
    masked_positions: Tensor | None = None
    causal_text: bool = False


@dataclass
class _Part:
    """The tokens of one stream in one tower.

    Attributes:
        tower: ``'vision'`` or ``'language'``.
        fused: see :class:`~mmbeit3.models.beit3.layer.Segment`.
        batch, length: B and N.
        kept: indices (M,) of the tokens that are not padding, among all B * N tokens; None without a padding mask.
    """

    tower: str
    fused: bool
    batch: int
    length: int
    kept: Tensor | None = None

    @property
    def key(self) -> tuple[str, bool]:
        """Key of the segment that this part belongs to."""
        return self.tower, self.fused

    @property
    def num_rows(self) -> int:
        """Number M of tokens that are not padding."""
        return self.batch * self.length if self.kept is None else len(self.kept)

    def pack(self, tokens: Tensor) -> Tensor:
        """Drop the padding: (B, N, ...) to (M, ...)."""
        flat = tokens.flatten(0, 1)  # (B * N, ...)
        return flat if self.kept is None else flat.index_select(0, self.kept)  # (M, ...)

    def unpack(self, rows: Tensor) -> Tensor:
        """Restore the padding, as zeros: (M, ...) to (B, N, ...)."""
        if self.kept is not None:
            padded = rows.new_zeros(self.batch * self.length, *rows.shape[1:])
            rows = padded.index_copy(0, self.kept, rows)  # (B * N, ...)
        return rows.unflatten(0, (self.batch, self.length))  # (B, N, ...)


class _Packing:
    """The tokens of several streams as segments of packed rows.

    Attributes:
        segments: one per tower, or two if image-text pairs use vision-language FFNs.
        tokens: each segment's embedded rows (M_i, C), stream after stream.
    """

    def __init__(self, network: BEiT3, streams: Sequence[Stream]) -> None:
        self._parts: list[list[_Part]] = []  # per stream, image before text
        self._masks: list[Tensor | None] = []
        embedded: list[list[Tensor]] = []
        for stream in streams:
            vision, language, mask = network.embed_inputs(
                stream.image, stream.tokens, stream.padding_mask, stream.masked_positions, stream.causal_text
            )
            # Without vision-language FFNs, pairs use the same weights as single images and texts, and share their segments.
            fused = vision is not None and language is not None and len(network.fusion_ffns) > 0
            parts: list[_Part] = []
            tokens: list[Tensor] = []
            if vision is not None:
                parts.append(_Part("vision", fused, vision.shape[0], vision.shape[1]))
                tokens.append(vision)
            if language is not None:
                padding = stream.padding_mask
                kept = None if padding is None else (~padding).flatten().nonzero().squeeze(1)  # (M,)
                parts.append(_Part("language", fused, language.shape[0], language.shape[1], kept))
                tokens.append(language)
            self._parts.append(parts)
            self._masks.append(mask)
            embedded.append(tokens)
        # Reversed, so that 'vision' comes before 'language', as in a plain pass.
        self._keys = sorted({part.key for parts in self._parts for part in parts}, reverse=True)
        self.tokens = self._pack(embedded)
        self.segments = [
            self._segment(key, network.vision if key[0] == "vision" else network.language, rows.device)
            for key, rows in zip(self._keys, self.tokens, strict=True)
        ]

    def _parts_of(self, key: tuple[str, bool]) -> list[_Part]:
        """Return a segment's parts, in the order of the streams."""
        return [part for parts in self._parts for part in parts if part.key == key]

    def _segment(self, key: tuple[str, bool], tower: Tower, device: torch.device) -> Segment:
        """Build a segment, with the index of each row's sample for stochastic depth."""
        batches: list[int] = []
        samples: list[Tensor] = []
        for part in self._parts_of(key):
            first = sum(batches)
            numbers = torch.arange(first, first + part.batch, device=device)  # (B,)
            samples.append(part.pack(numbers.unsqueeze(1).expand(-1, part.length)))  # (M,)
            batches.append(part.batch)
        return Segment(tower, key[1], torch.cat(samples), batches)

    def _pack(self, tokens: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Convert tokens (B, N, ...) of each stream's parts to rows (M_i, ...) of each segment."""
        pieces: dict[tuple[str, bool], list[Tensor]] = {key: [] for key in self._keys}
        for parts, stream_tokens in zip(self._parts, tokens, strict=True):
            for part, part_tokens in zip(parts, stream_tokens, strict=True):
                pieces[part.key].append(part.pack(part_tokens))
        return [torch.cat(pieces[key]) for key in self._keys]

    def unpack(self, rows: Sequence[Tensor]) -> list[list[Tensor]]:
        """Convert rows (M_i, ...) of each segment to tokens (B, N, ...) of each stream's parts."""
        pieces = {
            key: iter(segment_rows.split([part.num_rows for part in self._parts_of(key)]))
            for key, segment_rows in zip(self._keys, rows, strict=True)
        }
        return [[part.unpack(next(pieces[part.key])) for part in parts] for parts in self._parts]

    def attention(self, projected: Sequence[Tensor]) -> list[Tensor]:
        """Attend within each stream: each segment's q, k, v (M_i, 3, H, D) to its attended rows (M_i, C)."""
        attended = [
            joint_attention(parts, partial(attend, mask=mask))
            for parts, mask in zip(self.unpack(projected), self._masks, strict=True)
        ]
        return self._pack(attended)


def run_streams(network: BEiT3, streams: Sequence[Stream]) -> list[BEiT3Output]:
    """Encode several streams at once.

    Args:
        network: the network.
        streams: batches of images, texts and pairs, in any number and order.

    Returns:
        The output of ``network`` for each stream. Padded positions are zeros.

    Raises:
        ValueError: if a stream's inputs do not match, see :meth:`BEiT3.forward`.
    """
    packing = _Packing(network, streams)
    residuals = [Residual(rows) for rows in packing.tokens]
    for index in range(network.arch.num_layers):
        residuals = network.run_layer(packing.segments, residuals, index, packing.attention)
    normed = [segment.tower.norm(residual.sum()) for segment, residual in zip(packing.segments, residuals, strict=True)]
    return [
        BEiT3Output(
            vision=tokens[0] if stream.image is not None else None,
            language=tokens[-1] if stream.tokens is not None else None,
        )
        for stream, tokens in zip(streams, packing.unpack(normed), strict=True)
    ]
