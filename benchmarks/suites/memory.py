"""Peak memory of a training step with and without recomputing in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.cases import OURS, Case, Contender, Step
from benchmarks.networks import adapter, make_image, train_step
from benchmarks.settings import Settings

__all__ = ["memory_cases"]

_WAYS = {
    OURS: (False, False),
    f"{OURS} (with_cp: vit)": (True, False),
    f"{OURS} (with_cp: vit, adapter)": (True, True),
}


def memory_cases(settings: Settings) -> Iterator[Case]:
    """Yield a training step of the ViT-Adapter on a batch of images of each side, with and without recomputation (``with_cp``).

    The peak contains activations and gradients, but no optimizer state, whose size does not depend on the image.
    """
    for dtype in settings.dtypes:
        for side in settings.sides:

            def make(equal: bool, vit_cp: bool, adapter_cp: bool, side: int = side, dtype: str = dtype) -> Step:
                network = adapter(settings.sizes, side, vit_cp, adapter_cp)
                return train_step(network, {"image": make_image(side, settings.device, settings.batch)}, settings, dtype)

            contenders = [
                Contender(name, partial(make, vit_cp=vit_cp, adapter_cp=adapter_cp))
                for name, (vit_cp, adapter_cp) in _WAYS.items()
            ]
            name = f"ViT-Adapter {settings.arch} {side}²{settings.batch_name}, training step"
            yield Case(name, dtype, contenders, timed=False, memory=True)
