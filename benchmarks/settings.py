"""Settings of a benchmark: sizes, dtypes, device, threads and time."""

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
    """Settings that all benchmarks share.

    Attributes:
        arch: name of an architecture, see :data:`mmbeit3.models.beit3.ARCHS`.
        sides: sides of the square images in pixels, multiples of 32.
        adapter_sides: sides for the ViT-Adapter in suites where ``sides`` is for the tower.
        fused_side: side in pixels of the image in the case of image and text.
        text_tokens: length of the texts in that case, and of the longest text in pretraining.
        batch: number of inputs of each kind in a call: images, texts, pairs.
        dtypes: names from :data:`DTYPES`; bfloat16 means autocast with float32 weights.
        device: ``'cpu'`` or ``'cuda'``.
        threads: number of threads of PyTorch's operators and of the compiled CPU kernels.
        budget: seconds of measurement per case, without warm-up; slow contenders get fewer rounds, but at least three.
        compile: True to also measure mmbeit3 and timm with ``torch.compile``.
        by_block: compile blocks of networks that offer it (timm's) instead of the whole forward pass, which takes less time.
        patience: seconds for the first call of a contender, which may compile; 0 for no limit.
        quick: True for a run that only checks that everything works; its numbers mean nothing.
    """

    arch: str = "base"
    sides: tuple[int, ...] = (512,)
    adapter_sides: tuple[int, ...] = (512,)
    fused_side: int = 480
    text_tokens: int = 64
    batch: int = 1
    dtypes: tuple[str, ...] = ("float32",)
    device: str = "cpu"
    threads: int = 1
    budget: float = 60.0
    compile: bool = False
    by_block: bool = False
    patience: float = 0.0
    quick: bool = False

    @property
    def sizes(self) -> Arch:
        """Architecture; a quick run gets a small vocabulary, because the word embedding takes longest to initialise."""
        return get_arch(self.arch, vocab_size=512 if self.quick else None)

    @property
    def batch_name(self) -> str:
        """End of the name of a case with several images."""
        return f", batch {self.batch}" if self.batch > 1 else ""

    def checked(self) -> Settings:
        """Return these settings if this machine can run them.

        Raises:
            UserError: if a setting is wrong; the message names it.
        """
        for side in (*self.sides, *self.adapter_sides, self.fused_side):
            if side < _STRIDE or side % _STRIDE:
                raise UserError(f"a side of {side} pixels cannot be measured: use a positive multiple of {_STRIDE}")
        if unknown := [name for name in self.dtypes if name not in DTYPES]:
            raise UserError(f"unknown dtype {', '.join(unknown)}: choose from {', '.join(DTYPES)}")
        if self.batch < 1:
            raise UserError(f"a batch of {self.batch} is too small: use at least 1")
        if self.threads < 1:
            raise UserError(f"{self.threads} threads are too few: use at least 1")
        if self.budget <= 0:
            raise UserError(f"a budget of {self.budget} seconds is too small: use more than 0")
        try:
            kind = torch.device(self.device).type
        except RuntimeError as error:
            raise UserError(f"PyTorch does not support device '{self.device}': choose cpu or cuda") from error
        if kind not in ("cpu", "cuda"):
            raise UserError(f"device '{self.device}' is not supported: choose cpu or cuda")
        if kind == "cuda" and not torch.cuda.is_available():
            raise UserError("device 'cuda': PyTorch finds no GPU (missing driver, or PyTorch built without CUDA)")
        return self

    def for_check(self) -> Settings:
        """Return these settings with tiny sizes, so that a benchmark takes seconds."""
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
        """Return the settings of :meth:`to_dict`, also after JSON has turned tuples into lists."""
        arguments: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**arguments)
