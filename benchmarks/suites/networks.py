"""Forward passes and training steps of whole networks and their peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks import networks, peers
from benchmarks.adapter_peer import reference_adapter
from benchmarks.cases import OURS, Case, Contender, Step
from benchmarks.forcing import with_attention
from benchmarks.networks import Network
from benchmarks.settings import Settings
from mmbeit3.models.beit3 import Arch

__all__ = ["backbone_cases", "train_step_cases"]

_StepOf = Callable[[Network, Mapping[str, Tensor], Settings, str], Step]
_Peer = Callable[[Arch, int, Mapping[str, Tensor] | None], Network]


def backbone_cases(settings: Settings) -> Iterator[Case]:
    """Yield forward passes of a batch: the tower and the ViT-Adapter at each side, and images and texts together."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            yield _tower(settings, side, dtype, networks.forward_step, "forward")
        for side in settings.adapter_sides:
            yield _adapter(settings, side, dtype, networks.forward_step, "forward")
        yield _fused(settings, dtype)


def train_step_cases(settings: Settings) -> Iterator[Case]:
    """Yield forward and backward passes of a batch, with peak memory: the tower and the ViT-Adapter at each side."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            yield _tower(settings, side, dtype, networks.train_step, "forward + backward", memory=True)
        for side in settings.adapter_sides:
            yield _adapter(settings, side, dtype, networks.train_step, "forward + backward", memory=True)


def _tower(settings: Settings, side: int, dtype: str, step_of: _StepOf, what: str, memory: bool = False) -> Case:
    def inputs() -> dict[str, Tensor]:
        return {"image": networks.make_image(side, settings.device, settings.batch)}

    def ours() -> Network:
        return networks.tower(settings.sizes, side, device=settings.device)

    theirs: dict[str, _Peer] = {"timm": peers.timm_tower, "torchscale": peers.torchscale_tower}
    contenders = _contenders(settings, side, dtype, step_of, inputs, ours, theirs, compilable=("timm",))
    reference = partial(_exact, step_of, ours, inputs, settings)
    name = f"tower {settings.arch} {side}²{settings.batch_name}, {what}"
    return Case(name, dtype, contenders, reference, memory=memory, images=settings.batch)


def _adapter(settings: Settings, side: int, dtype: str, step_of: _StepOf, what: str, memory: bool = False) -> Case:
    def inputs() -> dict[str, Tensor]:
        return {"image": networks.make_image(side, settings.device, settings.batch)}

    def ours() -> Network:
        return networks.adapter(settings.sizes, side, device=settings.device)

    def as_reference(*args: object) -> Step:
        return with_attention(step_of(*args), peers.mmcv_fallback())  # type: ignore[arg-type]

    contenders = _contenders(settings, side, dtype, step_of, inputs, ours, {})
    theirs: dict[str, _Peer] = {"reference's parts": reference_adapter}
    contenders += _contenders(settings, side, dtype, as_reference, inputs, ours, theirs)[-1:]
    reference = partial(_exact, step_of, ours, inputs, settings)
    name = f"ViT-Adapter {settings.arch} {side}²{settings.batch_name}, {what}"
    return Case(name, dtype, contenders, reference, memory=memory, images=settings.batch)


def _fused(settings: Settings, dtype: str) -> Case:
    side, length = settings.fused_side, settings.text_tokens
    vocab_size = settings.sizes.vocab_size

    def inputs() -> dict[str, Tensor]:
        return {
            "image": networks.make_image(side, settings.device, settings.batch),
            "tokens": networks.make_text(length, vocab_size, settings.device, settings.batch),
        }

    def ours() -> Network:
        return networks.fused(settings.sizes, side, settings.device)

    theirs: dict[str, _Peer] = {"torchscale": peers.torchscale_fused}
    contenders = _contenders(settings, side, dtype, networks.forward_step, inputs, ours, theirs)
    reference = partial(_exact, networks.forward_step, ours, inputs, settings)
    name = f"image {side}² + {length} tokens {settings.arch}{settings.batch_name}, forward"
    return Case(name, dtype, contenders, reference, images=settings.batch)


def _exact(
    step_of: _StepOf, ours: Callable[[], Network], inputs: Callable[[], Mapping[str, Tensor]], settings: Settings
) -> Step:
    """Return the step of mmbeit3's network in float32."""
    return step_of(ours(), inputs(), settings, "float32")


def _contenders(
    settings: Settings,
    side: int,
    dtype: str,
    step_of: _StepOf,
    inputs: Callable[[], Mapping[str, Tensor]],
    ours: Callable[[], Network],
    theirs: Mapping[str, _Peer],
    compilable: tuple[str, ...] = (),
) -> list[Contender]:
    """Return mmbeit3 and the peers with the same weights; with ``settings.compile`` also mmbeit3 and some peers compiled.

    Args:
        settings: device, architecture, and whether to compile.
        side: side of the image in pixels.
        dtype: ``'float32'``, or the dtype of autocast.
        step_of: builds the step of a network.
        inputs: returns the arguments of the forward pass.
        ours: builds mmbeit3's network.
        theirs: name of a peer to a function that builds it from architecture, side and weights.
        compilable: names of the peers to compile.
    """

    @cache
    def weights() -> dict[str, Tensor]:
        return ours().module.state_dict()

    def contender(name: str, build: Callable[[bool], Network]) -> list[Contender]:
        made = [Contender(name, lambda equal: step_of(build(equal), inputs(), settings, dtype))]
        if settings.compile and (name == OURS or name in compilable):
            # A run that only checks that everything works does not generate code, which takes long.
            options = (settings.by_block, "aot_eager" if settings.quick else "inductor")
            made += [
                Contender(
                    f"{name}, compiled", lambda equal: step_of(build(equal).compiled(*options), inputs(), settings, dtype)
                )
            ]
        return made

    found = contender(OURS, lambda _: ours())
    for name, peer in theirs.items():

        def build(equal: bool, peer: _Peer = peer) -> Network:
            with torch.device(settings.device):
                return peer(settings.sizes, side, weights() if equal else None)

        found += contender(name, build)
    return found
