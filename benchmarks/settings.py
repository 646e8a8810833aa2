"""What a benchmark runs on: sizes, types, device, threads and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from mmbeit3.errors import UserError
from mmbeit3.models.beit3.arch import Arch, get_arch

__all__ = ["DTYPES", "Settings"]

DTYPES = ("float32", "bfloat16")
_STRIDE = 32


@dataclass(frozen=True)
class Settings:
    """Choices that all benchmarks share.

    Attributes:
        arch: name of an architecture, see :data:`mmbeit3.models.beit3.ARCHS`.
        sides: sides of the square images in pixels, multiples of 32.
        adapter_sides: sides for the ViT-Adapter where ``sides`` are the plain tower's.
        fused_side: side of the image that goes with a text.
        text_tokens: length of that text, and of the longest in pretraining.
        batch: images, texts and pairs in a step of pretraining, as many of each; images that are captioned.
        dtypes: names of :data:`DTYPES`; bfloat16 means autocast from float32 weights.
        device: ``'cpu'`` or ``'cuda'``.
        threads: of PyTorch's operators and of the compiled CPU kernel.
        budget: seconds of measuring a case, warm-up not counted; slow contenders get fewer rounds, but at least three.
        compile: also measure ``torch.compile`` of ours and of timm's.
        quick: whether this is a check that everything runs, whose numbers mean nothing.
    """

    arch: str = "base"
    sides: tuple[int, ...] = (512,)
    adapter_sides: tuple[int, ...] = (512,)
    fused_side: int = 480
    text_tokens: int = 64
    batch: int = 4
    dtypes: tuple[str, ...] = ("float32",)
    device: str = "cpu"
    threads: int = 1
    budget: float = 60.0
    compile: bool = False
    quick: bool = False

    @property
    def sizes(self) -> Arch:
        """The architecture. A check gets few words, since tables of them take longest to make."""
        return get_arch(self.arch, vocab_size=512 if self.quick else None)

    def checked(self) -> Settings:
        """Return these settings if this machine can run them.

        Raises:
            UserError: naming the option that is wrong.
        """
        for side in (*self.sides, *self.adapter_sides, self.fused_side):
            if side < _STRIDE or side % _STRIDE:
                raise UserError(f"a side of {side} pixels: give a positive multiple of {_STRIDE}")
        if unknown := [name for name in self.dtypes if name not in DTYPES]:
            raise UserError(f"unknown dtype {', '.join(unknown)}: choose from {', '.join(DTYPES)}")
        if self.batch < 1:
            raise UserError(f"a batch of {self.batch}: give at least one")
        if self.threads < 1:
            raise UserError(f"{self.threads} threads: give at least one")
        if self.budget <= 0:
            raise UserError(f"a budget of {self.budget} seconds: give more than none")
        try:
            kind = torch.device(self.device).type
        except RuntimeError as error:
            raise UserError(f"device '{self.device}' is none that PyTorch knows: choose cpu or cuda") from error
        if kind not in ("cpu", "cuda"):
            raise UserError(f"device '{self.device}' cannot be measured: choose cpu or cuda")
        if kind == "cuda" and not torch.cuda.is_available():
            raise UserError("device 'cuda': PyTorch finds no GPU here (driver missing, or a build of PyTorch without CUDA)")
        return self

    def for_check(self) -> Settings:
        """Return the same in sizes so small that all of it runs in seconds."""
        return replace(
            self,
            arch="tiny",
            sides=tuple(64 + 32 * index for index in range(min(len(self.sides), 2))),
            adapter_sides=(64,),
            fused_side=64,
            text_tokens=8,
            batch=min(self.batch, 2),
            budget=0.1,
            quick=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Undo :meth:`to_dict`, also after JSON has made lists of the tuples."""
        arguments: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**arguments)
