"""A step of masked data modeling: mmbeit3 in one pass or in three, and torchscale's BEiT-3 with two heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cases import Results, Step
from benchmarks.networks import randomise
from benchmarks.peers import torchscale_beit3
from benchmarks.settings import Settings
from mmbeit3.models.beit3 import Arch, Stream
from mmbeit3.pretrain import MaskedBatch, MaskedDataModeling, mask_blocks, mask_tokens

__all__ = [
    "Batches",
    "Losses",
    "TorchscalePretraining",
    "in_one_pass",
    "in_three_passes",
    "masked_batches",
    "mmbeit3_pretraining",
    "pretrain_step",
    "torchscale_pretraining",
]

Batches = Mapping[str, MaskedBatch]
"""``images``, ``texts`` and ``pairs`` of one step."""

Losses = Callable[[], Sequence[Tensor]]
"""Computes the losses of a step: of the images, of the texts, of the pairs' images and of the pairs' texts; each ()."""

_CODES = 8192
"""Number of visual codes."""

_MASKED_PATCHES = 0.4
_MASKED_WORDS = {"texts": 0.15, "pairs": 0.5}
_NAMES = ("images.image", "texts.text", "pairs.image", "pairs.text")
_START, _PAD, _END = range(3)


def masked_batches(settings: Settings, side: int) -> dict[str, MaskedBatch]:
    """Return random images, texts and pairs, always the same; ``settings.batch`` of each.

    40% of the patches are masked in blocks, 15% of the words in texts and 50% in pairs (arXiv 2208.10442, section 2.2). The
    range from 0 to ``text_tokens`` is divided into as many equal parts as there are texts, and one length is drawn from each
    part. So lengths are uniform, and their mean is about half of ``text_tokens`` also for few texts. Texts are padded to the
    longest of their batch, as in pretraining.

    Args:
        settings: batch, length of the longest text, architecture and device.
        side: side of the images in pixels.
    """
    generator = torch.Generator().manual_seed(5)
    images = _images(settings, side, generator)
    texts = _texts(settings, _MASKED_WORDS["texts"], generator)
    pairs = _images(settings, side, generator)
    captions = _texts(settings, _MASKED_WORDS["pairs"], generator)
    both = replace(
        captions,
        stream=replace(captions.stream, image=pairs.stream.image, masked_positions=pairs.stream.masked_positions),
        codes=pairs.codes,
    )
    return {"images": images, "texts": texts, "pairs": both}


def _images(settings: Settings, side: int, generator: torch.Generator) -> MaskedBatch:
    B, device = settings.batch, settings.device
    grid = (-(-side // settings.sizes.patch_size),) * 2
    N = grid[0] * grid[1]
    masked = torch.stack([mask_blocks(grid, round(_MASKED_PATCHES * N), generator=generator).flatten() for _ in range(B)])
    image = torch.randn(B, 3, side, side, generator=generator)
    codes = torch.randint(_CODES, (B, N), generator=generator)
    return MaskedBatch(Stream(image.to(device), masked_positions=masked.to(device)), codes.to(device))


def _texts(settings: Settings, share: float, generator: torch.Generator) -> MaskedBatch:
    B, device = settings.batch, settings.device
    shares = (torch.arange(B) + torch.rand(B, generator=generator)) / B
    # A text has at least one word between its start and its end token.
    lengths = (shares * settings.text_tokens).ceil().long().clamp_min(3)
    mask_id = settings.sizes.vocab_size - 1
    positions = torch.arange(int(lengths.max()))
    words = torch.randint(_END + 1, mask_id, (B, len(positions)), generator=generator)
    words[:, 0] = _START
    words[torch.arange(B), lengths - 1] = _END
    padding = positions >= lengths[:, None]
    words[padding] = _PAD
    tokens, masked = mask_tokens(words, padding, share, mask_id, mask_id, generator=generator)
    stream = Stream(tokens=tokens.to(device), padding_mask=padding.to(device))
    return MaskedBatch(stream, words=words.to(device), masked_words=masked.to(device))


def mmbeit3_pretraining(arch: Arch, side: int, device: str = "cpu") -> MaskedDataModeling:
    """Return mmbeit3's network with its heads, without stochastic depth; the position table has the grid of the images."""
    torch.manual_seed(0)
    with torch.device(device):
        module = MaskedDataModeling(arch, _CODES, image_size=side)
    randomise(module)
    return module


def in_one_pass(module: MaskedDataModeling, batches: Batches) -> list[Tensor]:
    """Return mmbeit3's losses, with all streams in one pass."""
    results = module.losses(batches)
    return [results[f"{name}.loss"] for name in _NAMES]


def in_three_passes(module: MaskedDataModeling, batches: Batches) -> list[Tensor]:
    """Return mmbeit3's losses, with one pass per stream."""
    results: dict[str, Tensor] = {}
    for name, batch in batches.items():
        results |= module.losses({name: batch})
    return [results[f"{name}.loss"] for name in _NAMES]


@dataclass(frozen=True)
class _Targets:
    """Targets of one head: rows (M,) of the masked tokens among the tokens (B * N, C) of a stream, and their ids (M,)."""

    head: nn.Linear
    rows: Tensor
    ids: Tensor


class TorchscalePretraining(nn.Module):
    """torchscale's BEiT-3 with two linear heads on the masked tokens, in one pass per stream.

    It computes the losses of mmbeit3's network, but not the accuracies.

    Args:
        net: the network, with the arguments of torchscale's.
        embed_dims: width of the network.
        vocab_size: number of words that can be predicted.
        batches: inputs and targets. The indices of masked tokens are computed once, because that makes a GPU wait.
    """

    def __init__(self, net: nn.Module, embed_dims: int, vocab_size: int, batches: Batches) -> None:
        super().__init__()
        self.net = net
        self.mim_head = nn.Linear(embed_dims, _CODES)
        self.mlm_head = nn.Linear(embed_dims, vocab_size)
        self.streams = [(batch.stream, self._targets(batch)) for batch in batches.values()]

    def losses(self) -> list[Tensor]:
        """Return the losses in the order of the batches; for pairs, the loss of images comes first."""
        losses = []
        for stream, targets in self.streams:
            tokens = self.net(
                textual_tokens=stream.tokens,
                visual_tokens=stream.image,
                text_padding_position=stream.padding_mask,
                vision_masked_position=stream.masked_positions,
            )["encoder_out"].flatten(0, 1)
            losses += [F.cross_entropy(target.head(tokens[target.rows]).float(), target.ids) for target in targets]
        return losses

    def _targets(self, batch: MaskedBatch) -> list[_Targets]:
        image, words = batch.stream.masked_positions, batch.masked_words
        # The order of tokens is class token, patches, text.
        num_image, num_text = 0 if image is None else 1 + image.shape[1], 0 if words is None else words.shape[1]
        targets = []
        if image is not None and batch.codes is not None:
            rows = F.pad(image, (1, num_text)).flatten().nonzero().squeeze(1)
            targets.append(_Targets(self.mim_head, rows, batch.codes[image]))
        if words is not None and batch.words is not None:
            rows = F.pad(words, (num_image, 0)).flatten().nonzero().squeeze(1)
            targets.append(_Targets(self.mlm_head, rows, batch.words[words]))
        return targets


def torchscale_pretraining(
    arch: Arch, side: int, batches: Batches, weights: Mapping[str, Tensor] | None
) -> TorchscalePretraining:
    """Return torchscale's BEiT-3 with heads.

    Args:
        arch: architecture.
        side: side of the images in pixels; other sides are not supported.
        batches: see :class:`TorchscalePretraining`.
        weights: state dict of mmbeit3's network with its heads.

    Raises:
        Unavailable: see :func:`~benchmarks.peers.torchscale_beit3`.
    """
    heads = {name: tensor for name, tensor in (weights or {}).items() if name.startswith(("mim_head.", "mlm_head."))}
    rest = None if weights is None else {name: tensor for name, tensor in weights.items() if name not in heads}
    module = TorchscalePretraining(torchscale_beit3(arch, side, True, rest), arch.embed_dims, arch.vocab_size, batches)
    if weights is not None:
        with torch.no_grad():
            for name, tensor in heads.items():
                module.get_parameter(name).copy_(tensor)
    return module


def pretrain_step(module: nn.Module, losses: Losses, probes: Sequence[Tensor], settings: Settings, dtype: str) -> Step:
    """Return a step that runs forward and backward pass of the sum of losses in training mode.

    Args:
        module: module with the weights; moved to the device.
        losses: computes the losses with the module.
        probes: weights of the module; contenders must agree on the losses and on the gradients of these weights.
        settings: settings with the device.
        dtype: ``'float32'``, or the dtype of autocast.
    """
    module.to(settings.device).train()
    kind = torch.device(settings.device).type

    def step() -> Sequence[Tensor]:
        module.zero_grad(set_to_none=True)
        with torch.autocast(kind, getattr(torch, dtype), enabled=dtype != "float32"):
            values = losses()
        torch.stack(list(values)).sum().backward()
        gradients = [probe.grad for probe in probes if probe.grad is not None]
        assert len(gradients) == len(probes)
        return Results([loss.detach() for loss in values], gradients)

    return step
