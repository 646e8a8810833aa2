"""Several streams through the network in one pass: texts, images and pairs side by side.

What a tower does to single tokens it does to the tokens of all streams in one matrix product, padded text left out; attention
runs within each stream. Results are those of separate passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbeit3.models.beit3.expert import FeedForward
from mmbeit3.models.beit3.model import BEiT3, BEiT3Output, attention_mask, check_inputs
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops import attend

__all__ = ["Stream", "run_streams"]

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass
class Stream:
    """One batch of images, of texts, or of pairs; attributes as the arguments of :meth:`BEiT3.forward`.

    Attributes:
        image: (B, 3, H, W).
        tokens: ids (B, T).
        padding_mask: boolean (B, T), True = pad.
        masked_positions: boolean (B, N), True = this patch is replaced by the mask token.
        causal_text: captioning's rule.
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
        batch, length: B and N.
        kept: places of the tokens that are no padding among the B * N, or None where all are.
        rows: how many are kept.
        samples: number of the sample, over all parts of the stream, of each kept token: (rows,).
    """

    batch: int
    length: int
    kept: Tensor | None
    rows: int
    samples: Tensor

    def pack(self, tokens: Tensor) -> Tensor:
        """(B, N, ...) to (rows, ...)."""
        flat = tokens.flatten(0, 1)
        return flat if self.kept is None else flat.index_select(0, self.kept)

    def unpack(self, rows: Tensor) -> Tensor:
        """(rows, ...) to (B, N, ...), zero where there is padding."""
        if self.kept is not None:
            rows = rows.new_zeros(self.batch * self.length, *rows.shape[1:]).index_copy(0, self.kept, rows)
        return rows.unflatten(0, (self.batch, self.length))


class _Plan:
    """Which tokens of which streams a tower has, and who attends to whom."""

    def __init__(self, network: BEiT3, streams: Sequence[Stream]) -> None:
        self.parts: list[dict[str, _Part]] = []
        self.masks: list[Tensor | None] = []
        self.tokens: dict[str, list[Tensor]] = {"vision": [], "language": []}
        for stream in streams:
            check_inputs(stream.image, stream.tokens, stream.padding_mask, stream.masked_positions)
            parts, num_image = {}, 0
            if stream.image is not None:
                embedded, _ = network.vision.embed(stream.image, stream.masked_positions)
                num_image = embedded.shape[1]
                parts["vision"] = self._add("vision", embedded, None)
            mask = None
            if stream.tokens is not None:
                embedded = network.language.embed(stream.tokens, stream.padding_mask)
                parts["language"] = self._add("language", embedded, stream.padding_mask)
                mask = attention_mask(num_image, stream.tokens, stream.padding_mask, stream.causal_text)
            self.parts.append(parts)
            self.masks.append(mask)

    def _add(self, tower: str, embedded: Tensor, padding_mask: Tensor | None) -> _Part:
        B, N, _ = embedded.shape
        samples = torch.arange(B, device=embedded.device).repeat_interleave(N)
        kept = None
        if padding_mask is not None:
            kept = (~padding_mask).flatten().nonzero().squeeze(1)
            samples = samples[kept]
        part = _Part(B, N, kept, len(samples), samples)
        self.tokens[tower].append(part.pack(embedded))
        return part

    def split(self, tower: str, rows: Tensor) -> list[Tensor | None]:
        """A tower's rows by stream, None for a stream that has none there."""
        sizes = [parts[tower].rows if tower in parts else 0 for parts in self.parts]
        return [piece if tower in parts else None for parts, piece in zip(self.parts, rows.split(sizes), strict=True)]


def run_streams(network: BEiT3, streams: Sequence[Stream]) -> list[BEiT3Output]:
    """Encode several streams at once.

    Args:
        network: the network.
        streams: batches of images, texts and pairs, in any number and order.

    Returns:
        What ``network`` would return for each of them; padded positions are the final norm's bias.

    Raises:
        ValueError: as ``network`` does for each of them.
    """
    plan = _Plan(network, streams)
    used = [name for name, tokens in plan.tokens.items() if tokens]
    rows = [torch.cat(plan.tokens[name]) for name in used]
    for index in range(network.arch.num_layers):
        layer = partial(_layer, network, plan, used, index)
        with_cp = any(cast(Tower, getattr(network, name)).with_cp for name in used)
        if with_cp and torch.is_grad_enabled():
            rows = list(checkpoint(layer, *rows, use_reentrant=False))
        else:
            rows = list(layer(*rows))
    outputs: dict[str, list[Tensor | None]] = {"vision": [None] * len(streams), "language": [None] * len(streams)}
    for name, tower_rows in zip(used, rows, strict=True):
        normed = cast(Tower, getattr(network, name)).norm(tower_rows)
        pieces = plan.split(name, normed)
        outputs[name] = [
            None if piece is None else parts[name].unpack(piece) for parts, piece in zip(plan.parts, pieces, strict=True)
        ]
    return [BEiT3Output(vision, language) for vision, language in zip(outputs["vision"], outputs["language"], strict=True)]


def _layer(network: BEiT3, plan: _Plan, used: Sequence[str], index: int, *rows: Tensor) -> tuple[Tensor, ...]:
    towers = [cast(Tower, getattr(network, name)) for name in used]
    projections = [tower.experts[index].attn for tower in towers]
    heads = network.arch.num_heads
    packed = _each_once(projections, rows, lambda attn, own: attn.qkv(attn.norm(own)))
    projected = {name: plan.split(name, own.unflatten(1, (3, heads, -1))) for name, own in zip(used, packed, strict=True)}
    attended: dict[str, list[Tensor]] = {name: [] for name in used}
    for number, (parts, mask) in enumerate(zip(plan.parts, plan.masks, strict=True)):
        joint = torch.cat([part.unpack(cast(Tensor, projected[name][number])) for name, part in parts.items()], dim=1)
        q, k, v = joint.permute(2, 0, 3, 1, 4).unbind()
        out = attend(q, k, v, mask).transpose(1, 2).flatten(2)
        for (name, part), own in zip(parts.items(), out.split([part.length for part in parts.values()], dim=1), strict=True):
            attended[name].append(part.pack(own))
    merged = _each_once(
        projections, [torch.cat(attended[name]) for name in used], lambda attn, own: attn.out(attn.inner_norm(own))
    )
    factors = _drop_path(towers, used, plan, index, rows)
    rows = tuple(own + new * factors[name][0] for name, own, new in zip(used, rows, merged, strict=True))
    fed = _feed_forward(network, plan, used, index, rows)
    return tuple(own + new * factors[name][1] for name, own, new in zip(used, rows, fed, strict=True))


def _feed_forward(network: BEiT3, plan: _Plan, used: Sequence[str], index: int, rows: Sequence[Tensor]) -> list[Tensor]:
    """Each tower's own FFN; for pairs, in the paper's last layers, the vision-language one."""
    own = [cast(Tower, getattr(network, name)).experts[index].ffn for name in used]
    if str(index) not in network.fusion_ffns:
        return _each_once(own, rows, lambda ffn, tokens: ffn(tokens))
    fused = cast(FeedForward, network.fusion_ffns[str(index)])
    ffns, pieces, owners = [], [], []
    for owner, (name, ffn, tokens) in enumerate(zip(used, own, rows, strict=True)):
        for parts, piece in zip(plan.parts, plan.split(name, tokens), strict=True):
            if piece is not None:
                ffns.append(fused if len(parts) == 2 else ffn)
                pieces.append(piece)
                owners.append(owner)
    outputs = _each_once(ffns, pieces, lambda ffn, tokens: ffn(tokens))
    return [torch.cat([out for out, its in zip(outputs, owners, strict=True) if its == owner]) for owner in range(len(used))]


def _each_once(modules: Sequence[_Module], rows: Sequence[Tensor], call: Callable[[_Module, Tensor], Tensor]) -> list[Tensor]:
    """Call each distinct module once, over all rows that are its: one product, and one gathering of sharded weights.

    Args:
        modules: for each of ``rows`` the module it goes through.
        rows: (M_i, C) each.
        call: what to do with a module and rows, row by row.

    Returns:
        For each of ``rows`` what became of it.
    """
    outputs: list[Tensor | None] = [None] * len(rows)
    for module in dict.fromkeys(modules):
        its = [number for number, other in enumerate(modules) if other is module]
        if len(its) == 1:
            outputs[its[0]] = call(module, rows[its[0]])
            continue
        together = call(module, torch.cat([rows[number] for number in its]))
        for number, piece in zip(its, together.split([len(rows[number]) for number in its]), strict=True):
            outputs[number] = piece
    return cast("list[Tensor]", outputs)


def _drop_path(
    towers: Sequence[Tower], used: Sequence[str], plan: _Plan, index: int, rows: Sequence[Tensor]
) -> dict[str, list[Tensor | float]]:
    """Factors (rows, 1) for the two residual branches of each tower: per sample, as stochastic depth wants."""
    factors: dict[str, list[Tensor | float]] = {}
    for tower, name, own in zip(towers, used, rows, strict=True):
        rate = float(getattr(tower.drop_paths[index], "drop_prob", 0.0) or 0.0)
        if not tower.training or not rate:
            factors[name] = [1.0, 1.0]
            continue
        branches: list[Tensor | float] = []
        for _ in range(2):
            pieces = []
            for parts in plan.parts:
                if name in parts:
                    part = parts[name]
                    keep = own.new_empty(part.batch).bernoulli_(1 - rate) / (1 - rate)
                    pieces.append(keep[part.samples])
            branches.append(torch.cat(pieces).unsqueeze(1))
        factors[name] = branches
    return factors
