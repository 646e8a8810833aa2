"""A step of masked data modeling: three streams in one pass, or one pass per stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from torch import Tensor

from benchmarks import pretraining
from benchmarks.cases import OURS, Case, Contender, Step
from benchmarks.pretraining import Batches
from benchmarks.settings import Settings
from mmbeit3.pretrain import MaskedDataModeling

__all__ = ["pretrain_step_cases"]


def pretrain_step_cases(settings: Settings) -> Iterator[Case]:
    """Yield forward and backward passes of a step without an optimizer, with peak memory, at each side."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            yield _case(settings, side, dtype)


def _case(settings: Settings, side: int, dtype: str) -> Case:
    @cache
    def batches() -> Batches:
        return pretraining.masked_batches(settings, side)

    @cache
    def network() -> MaskedDataModeling:
        # Both contenders can share one network, because each step computes new gradients.
        return pretraining.mmbeit3_pretraining(settings.sizes, side, settings.device)

    def ours(losses: Callable[[MaskedDataModeling, Batches], list[Tensor]], dtype: str = dtype) -> Step:
        module: Any = network()
        # The gradient of each passes through all layers of its tower.
        probes = [module.vision.embed.proj.weight, module.language.embed.positions]
        return pretraining.pretrain_step(module, lambda: losses(module, batches()), probes, settings, dtype)

    def torchscale(equal: bool) -> Step:
        weights = network().state_dict() if equal else None
        module: Any = pretraining.torchscale_pretraining(settings.sizes, side, batches(), weights)
        probes = [module.net.vision_embed.proj.weight, module.net.encoder.embed_positions.B.weight]
        return pretraining.pretrain_step(module, module.losses, probes, settings, dtype)

    contenders = [
        Contender(f"{OURS} (one pass)", lambda _: ours(pretraining.in_one_pass)),
        Contender(f"{OURS} (three passes)", lambda _: ours(pretraining.in_three_passes)),
        Contender("torchscale (three passes)", torchscale),
    ]
    count = settings.batch
    streams = f"{count} images + {count} texts + {count} pairs"
    name = f"pretraining {settings.arch} {side}², {streams}, up to {settings.text_tokens} tokens, forward + backward"
    reference = partial(ours, pretraining.in_one_pass, "float32")
    return Case(name, dtype, contenders, reference, memory=True, images=2 * count)
