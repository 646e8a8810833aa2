"""The BEiT-3 network: a vision tower and a language tower with joint attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from mmbeit3.models.beit3.arch import Arch, get_arch
from mmbeit3.models.beit3.embedding import TextEmbedding, VisionEmbedding
from mmbeit3.models.beit3.expert import FeedForward
from mmbeit3.models.beit3.init import init_beit3
from mmbeit3.models.beit3.layer import Attention, Segment, joint_attention, run_layer
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops import Residual, attend

__all__ = ["BEiT3", "BEiT3Output", "EmbeddedInputs"]


class BEiT3Output(NamedTuple):
    """Output of :class:`BEiT3`. A modality that was not given is ``None``.

    Attributes:
        vision: (B, 1 + N, C), class token first.
        language: (B, T, C); padded positions are undefined.
    """

    vision: Tensor | None
    language: Tensor | None


class EmbeddedInputs(NamedTuple):
    """Embedded inputs of one stream; an absent modality is ``None``.

    Attributes:
        vision: (B, 1 + N, C), class token first.
        language: (B, T, C).
        mask: boolean, broadcastable to (B, H, M, M) over the M tokens of both, image first; True = may attend. None if all
            tokens attend to all.
    """

    vision: Tensor | None
    language: Tensor | None
    mask: Tensor | None


class BEiT3(nn.Module):
    """The full multiway network (arXiv 2208.10442) over images, texts and pairs.

    Args:
        arch: ``'tiny'``, ``'base'``, ``'large'``, ``'giant'``, or a dict of :class:`~mmbeit3.models.beit3.arch.Arch`
            attributes. Released models are ``attention='decoupled'``; the paper's network is
            ``BEiT3('giant', attention='shared', num_fusion_layers=3)``.
        drop_path_rate: stochastic depth at the last layer, linear from 0 at the first.
        with_cp: recompute each layer in the backward pass to save memory.
        final_norm: end each tower with a layer norm (the released ImageNet and VQA models have none).
        compile_blocks: compile the token-wise work of the layers, see :func:`mmbeit3.ops.region`.
        **changes: attributes of the architecture to change.

    Raises:
        ValueError: for an unknown architecture or attribute.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] | Arch,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        final_norm: bool = True,
        compile_blocks: bool = False,
        **changes: Any,
    ) -> None:
        super().__init__()
        self.arch = arch = get_arch(arch, **changes)
        tower = partial(
            Tower,
            arch,
            drop_path_rate=drop_path_rate,
            with_cp=with_cp,
            final_norm=final_norm,
            compile_blocks=compile_blocks,
        )
        self.vision = tower(VisionEmbedding(arch))
        shared_with = self.vision if arch.attention == "shared" else None
        self.language = tower(TextEmbedding(arch), shared_with)
        fused = range(arch.num_layers - arch.num_fusion_layers, arch.num_layers)
        self.fusion_ffns = nn.ModuleDict({str(index): FeedForward(arch) for index in fused})
        init_beit3(self, self.arch.init)

    def forward(
        self,
        image: Tensor | None = None,
        tokens: Tensor | None = None,
        padding_mask: Tensor | None = None,
        masked_positions: Tensor | None = None,
        causal_text: bool = False,
    ) -> BEiT3Output:
        """Encode an image, a text, or both with joint attention (image tokens first).

        Args:
            image: (B, 3, H, W), normalised; any size.
            tokens: token ids (B, T).
            padding_mask: boolean (B, T), True = pad. Padded tokens are not attended to.
            masked_positions: boolean (B, N), True = this patch is replaced by the mask token.
            causal_text: use the attention mask of captioning: text attends to the image and to earlier text, the image only to
                itself.

        Returns:
            :class:`BEiT3Output`, after the final norm.

        Raises:
            ValueError: if neither modality is given, a mask comes without its modality, or shapes disagree.
        """
        embedded = self.embed_inputs(image, tokens, padding_mask, masked_positions, causal_text)
        fused = embedded.vision is not None and embedded.language is not None
        segments: list[Segment] = []
        residuals: list[Residual] = []
        # Only the towers in use are read: exported copies of one modality have no other tower.
        if embedded.vision is not None:
            segments.append(Segment(self.vision, fused))
            residuals.append(Residual(embedded.vision))
        if embedded.language is not None:
            segments.append(Segment(self.language, fused))
            residuals.append(Residual(embedded.language))
        attention = partial(joint_attention, attend=partial(attend, mask=embedded.mask))
        for index in range(self.arch.num_layers):
            residuals = self.run_layer(segments, residuals, index, attention)
        normed = [segment.tower.norm(residual.sum()) for segment, residual in zip(segments, residuals, strict=True)]
        return BEiT3Output(
            vision=normed[0] if image is not None else None,
            language=normed[-1] if tokens is not None else None,
        )

    def embed_inputs(
        self,
        image: Tensor | None,
        tokens: Tensor | None,
        padding_mask: Tensor | None,
        masked_positions: Tensor | None,
        causal_text: bool,
    ) -> EmbeddedInputs:
        """Check the arguments of :meth:`forward`, embed them, and build their attention mask.

        Raises:
            ValueError: see :meth:`forward`.
        """
        _check_inputs(image, tokens, padding_mask, masked_positions)
        vision = language = mask = None
        if image is not None:
            vision, _ = self.vision.embed(image, masked_positions)
        if tokens is not None:
            language = self.language.embed(tokens, padding_mask)
            mask = _attention_mask(0 if vision is None else vision.shape[1], tokens, padding_mask, causal_text)
        return EmbeddedInputs(vision, language, mask)

    def run_layer(
        self, segments: Sequence[Segment], residuals: Sequence[Residual], index: int, attention: Attention
    ) -> list[Residual]:
        """Run one layer; in the paper's last layers fused segments use the vision-language FFN.

        Args:
            segments: segments to process.
            residuals: each segment's residual stream.
            index: index of the layer.
            attention: see ``Attention`` in ``layer.py``.

        Returns:
            Each segment's residual stream after the layer.
        """
        name = str(index)
        fusion_ffn = cast(FeedForward, self.fusion_ffns[name]) if name in self.fusion_ffns else None
        return run_layer(segments, residuals, index, attention, fusion_ffn)


def _check_inputs(
    image: Tensor | None, tokens: Tensor | None, padding_mask: Tensor | None, masked_positions: Tensor | None
) -> None:
    """Check that the arguments of :meth:`BEiT3.forward` match each other.

    Raises:
        ValueError: if neither modality is given, a mask comes without its modality, or shapes disagree.
    """
    if image is None and tokens is None:
        raise ValueError("BEiT3 needs image, tokens, or both")
    if image is not None and tokens is not None and image.shape[0] != tokens.shape[0]:
        raise ValueError(f"got {image.shape[0]} images and {tokens.shape[0]} texts: each image needs one text")
    if masked_positions is not None and image is None:
        raise ValueError("masked_positions were given without an image: pass the image, too")
    if padding_mask is not None and (tokens is None or padding_mask.shape != tokens.shape or padding_mask.dtype != torch.bool):
        given = "without tokens" if tokens is None else f"for tokens of shape {tuple(tokens.shape)}"
        raise ValueError(
            "padding_mask must be boolean (True = pad) and have the tokens' shape, got "
            f"{padding_mask.dtype} {tuple(padding_mask.shape)} {given}"
        )


def _attention_mask(num_image: int, tokens: Tensor, padding_mask: Tensor | None, causal_text: bool) -> Tensor | None:
    """Build the attention mask for image tokens followed by text tokens.

    Args:
        num_image: number of image tokens, 0 without an image.
        tokens: token ids (B, T).
        padding_mask: boolean (B, T), True = pad.
        causal_text: use the attention mask of captioning, see :meth:`BEiT3.forward`.

    Returns:
        Boolean, broadcastable to (B, H, N, N) with N = num_image + T, True = may attend. None if all tokens attend to all.
    """
    B, T = tokens.shape
    mask = None
    if causal_text:
        total = num_image + T
        mask = torch.ones(total, total, dtype=torch.bool, device=tokens.device).tril()
        # The lower triangle would also hide later image tokens from earlier ones.
        mask[:num_image, :num_image] = True
        mask = mask[None, None]  # (1, 1, N, N)
    if padding_mask is not None:
        visible = torch.cat([padding_mask.new_ones(B, num_image), ~padding_mask], dim=1)  # (B, N)
        visible = visible[:, None, None]  # (B, 1, 1, N)
        mask = visible if mask is None else mask & visible
    return mask
