"""What of a task's model becomes a file: modules of one forward, and what they take."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, BEiT3, DualEncoder, Tower, VisionEmbedding
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.captioning import BEiT3Captioning
from mmbeit3.tasks.classification import BEiT3Classification
from mmbeit3.tasks.nlvr2 import BEiT3NLVR2
from mmbeit3.tasks.retrieval import BEiT3Retrieval
from mmbeit3.tasks.vqa import BEiT3VQA
from mmbeit3.tasks.zero_shot import BEiT3NamedClassification

__all__ = ["TaskGraph", "check_exported", "task_graphs"]

_WORDS_FROM = 3
"""Ids below are those of special tokens."""


@dataclass(frozen=True)
class TaskGraph:
    """A part of a task's model that becomes a file of its own.

    Attributes:
        part: what tells its file from the others; empty if it is the only one.
        module: in evaluation mode; takes tensors by the names of ``inputs``, in this order, and gives one.
        inputs: of ``image``, ``image2`` (B, 3, H, W), float32, normalised; ``tokens`` (B, T), int64; ``padding_mask`` (B, T),
            boolean, True = pad.
        output: name of what it gives, (B, C).
        size: height and width of images in pixels.
        longest: most tokens of a text.
        vocab_size: ids that there are.
    """

    part: str
    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    size: tuple[int, int] = (0, 0)
    longest: int = 0
    vocab_size: int = 0

    def random(self, batch: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Inputs of so many samples; all texts but the first are padded, where there is room."""
        made = {}
        for name in self.inputs:
            if name == "padding_mask":
                kept = (length - torch.arange(batch)).clamp(min=1)
                made[name] = torch.arange(length) >= kept[:, None]
            elif name == "tokens":
                made[name] = torch.randint(_WORDS_FROM, self.vocab_size, (batch, length), generator=generator)
                made[name][:, 0] = 0
            else:
                made[name] = torch.randn(batch, 3, *self.size, generator=generator)
        return tuple(made.values())


def check_exported(kind: Any) -> None:
    """Check that a model of this class can be exported, before it is built.

    Raises:
        UserError: saying what else can be.
    """
    if kind in _GRAPHS:
        return
    name = getattr(kind, "__name__", str(kind))
    if kind is BEiT3Captioning:
        raise UserError(f"{name} is not exported: its search for words is a loop around the network and no graph; run it here")
    known = ", ".join(each.__name__ for each in _GRAPHS)
    raise UserError(f"{name} cannot be exported: only backbones of detectors and segmentors, and {known}")


def task_graphs(model: TaskModel, size: tuple[int, int] | None = None) -> list[TaskGraph]:
    """The graphs of a task's model.

    Args:
        model: one of those that :func:`check_exported` lets pass; put into evaluation mode.
        size: height and width of images in pixels; default those of the model's position table.

    Raises:
        UserError: if the model cannot be exported, or the size is below a patch's.
    """
    check_exported(type(model))
    model.eval()
    embed = cast(VisionEmbedding, cast(Tower, model.network.vision).embed)
    patch = embed.patch_size
    rows, columns = embed.grid
    size = (rows * patch, columns * patch) if size is None else size
    if min(size) < patch:
        raise UserError(f"an image of {size[0]}x{size[1]} is too small to export with: both sides must have {patch} pixels")
    return _GRAPHS[type(model)](model, size)


def _texts(network: BEiT3) -> dict[str, Any]:
    arch = network.arch
    return {"longest": arch.max_text_positions - UNUSED_POSITIONS, "vocab_size": arch.vocab_size}


def _classification(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    return [TaskGraph("", _Images(model.network), ("image",), "logits", size)]


def _named(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    return [TaskGraph("", _Names(model), ("image",), "logits", size)]


def _retrieval(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    network = model.network
    return [
        TaskGraph("image", _ImageVectors(network), ("image",), "image_feature", size),
        TaskGraph("text", _TextVectors(network), ("tokens", "padding_mask"), "text_feature", **_texts(network)),
    ]


def _vqa(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    inputs = ("image", "tokens", "padding_mask")
    return [TaskGraph("", _Questions(model.network), inputs, "logits", size, **_texts(model.network))]


def _nlvr2(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    inputs = ("image", "image2", "tokens", "padding_mask")
    return [TaskGraph("", _Statements(model.network), inputs, "logits", size, **_texts(model.network))]


_GRAPHS: dict[Any, Callable[[Any, tuple[int, int]], list[TaskGraph]]] = {
    BEiT3Classification: _classification,
    BEiT3NamedClassification: _named,
    BEiT3Retrieval: _retrieval,
    BEiT3VQA: _vqa,
    BEiT3NLVR2: _nlvr2,
}


# Arguments' names become those of the files' inputs.


class _Images(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)


class _ImageVectors(nn.Module):
    def __init__(self, network: DualEncoder) -> None:
        super().__init__()
        self.network: Any = _without(network, "language", "language_head")

    def forward(self, image: Tensor) -> Tensor:
        return self.network.encode_image(image)


class _TextVectors(nn.Module):
    def __init__(self, network: DualEncoder) -> None:
        super().__init__()
        self.network: Any = _without(network, "vision", "vision_head")

    def forward(self, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        return self.network.encode_text(tokens, padding_mask)


class _Names(nn.Module):
    def __init__(self, model: BEiT3NamedClassification) -> None:
        super().__init__()
        self.images = _ImageVectors(model.network)
        factor = model.network.logit_scale.detach().exp()
        self.register_buffer("classes", factor * model.class_features().t())

    def forward(self, image: Tensor) -> Tensor:
        return self.images(image) @ self.classes


class _Questions(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, image: Tensor, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        return self.network.logits(image, tokens, padding_mask)


class _Statements(_Questions):
    def forward(self, image: Tensor, image2: Tensor, tokens: Tensor, padding_mask: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.logits(image, image2, tokens, padding_mask)


def _without(network: nn.Module, *names: str) -> nn.Module:
    """The same network, weights shared, without some of its parts, which would otherwise lie in the file."""
    rest = copy(network)
    rest._modules = {name: part for name, part in network._modules.items() if name not in names}
    return rest
