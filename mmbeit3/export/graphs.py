"""The parts of a task model that are exported, as modules with a single ``forward``.

``torch.export`` traces one ``forward`` of one module into one graph. Task models have other interfaces: dicts of tensors,
samples, separate encoders. So each task has a builder here that returns one :class:`TaskGraph` per exported file.
"""

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
from mmbeit3.tasks.zero_shot import BEiT3ZeroShotClassification

__all__ = ["TaskGraph", "check_exported", "task_graphs"]

_FIRST_WORD_ID = 3
"""Smaller ids belong to special tokens."""


@dataclass(frozen=True)
class TaskGraph:
    """A part of a task model that becomes one file.

    Attributes:
        part: suffix of the file name that identifies the part; empty if there is only one part.
        module: the module in evaluation mode; takes the tensors ``inputs`` in this order and returns one tensor.
        inputs: names of the inputs: ``image``, ``image2`` (B, 3, H, W), float32, normalised; ``tokens`` (B, T), int64;
            ``padding_mask`` (B, T), boolean, True = pad.
        output: name of the output (B, C).
        size: height and width of images in pixels.
        max_length: largest number of tokens of a text; 0 without texts.
        vocab_size: number of token ids; 0 without texts.
    """

    part: str
    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    size: tuple[int, int] = (0, 0)
    max_length: int = 0
    vocab_size: int = 0

    def random(self, batch: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return random inputs of ``batch`` samples and ``length`` tokens; all texts but the first are padded if possible."""
        inputs = {}
        for name in self.inputs:
            if name == "padding_mask":
                kept = (length - torch.arange(batch)).clamp(min=1)
                inputs[name] = torch.arange(length) >= kept[:, None]
            elif name == "tokens":
                inputs[name] = torch.randint(_FIRST_WORD_ID, self.vocab_size, (batch, length), generator=generator)
                inputs[name][:, 0] = 0
            else:
                inputs[name] = torch.randn(batch, 3, *self.size, generator=generator)
        return tuple(inputs.values())


def check_exported(kind: Any) -> None:
    """Check that models of a class can be exported.

    Args:
        kind: the class of the model, or the ``type`` of a config that is not registered.

    Raises:
        UserError: if they cannot be exported; the message lists the classes that can.
    """
    if kind in _GRAPH_BUILDERS:
        return
    name = getattr(kind, "__name__", str(kind))
    if kind is BEiT3Captioning:
        raise UserError(
            f"{name} cannot be exported: beam search is a loop around the network, not one graph: run it with mmbeit3"
        )
    supported = ", ".join(each.__name__ for each in _GRAPH_BUILDERS)
    raise UserError(f"{name} cannot be exported: give a backbone of a detector or segmentor, or one of {supported}")


def task_graphs(model: TaskModel, size: tuple[int, int] | None = None) -> list[TaskGraph]:
    """Return the graphs of a task model, one per exported file.

    Args:
        model: a model that passes :func:`check_exported`; it is set to evaluation mode.
        size: height and width of images in pixels; default the size of the model's position embeddings.

    Raises:
        UserError: if the model cannot be exported, or the size is smaller than a patch.
    """
    check_exported(type(model))
    model.eval()
    embed = cast(VisionEmbedding, cast(Tower, model.network.vision).embed)
    patch = embed.patch_size
    rows, columns = embed.grid
    size = (rows * patch, columns * patch) if size is None else size
    if min(size) < patch:
        raise UserError(f"an image of {size[0]}x{size[1]} is too small to export with: give sides of at least {patch} pixels")
    return _GRAPH_BUILDERS[type(model)](model, size)


def _text_limits(network: BEiT3) -> dict[str, Any]:
    arch = network.arch
    return {"max_length": arch.max_text_positions - UNUSED_POSITIONS, "vocab_size": arch.vocab_size}


def _classification(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    return [TaskGraph("", _ImageClassifier(model.network), ("image",), "logits", size)]


def _zero_shot(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    return [TaskGraph("", _ZeroShotClassifier(model), ("image",), "logits", size)]


def _retrieval(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    network = model.network
    return [
        TaskGraph("image", _ImageEncoder(network), ("image",), "image_feature", size),
        TaskGraph("text", _TextEncoder(network), ("tokens", "padding_mask"), "text_feature", **_text_limits(network)),
    ]


def _vqa(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    inputs = ("image", "tokens", "padding_mask")
    return [TaskGraph("", _VQAClassifier(model.network), inputs, "logits", size, **_text_limits(model.network))]


def _nlvr2(model: Any, size: tuple[int, int]) -> list[TaskGraph]:
    inputs = ("image", "image2", "tokens", "padding_mask")
    return [TaskGraph("", _NLVR2Classifier(model.network), inputs, "logits", size, **_text_limits(model.network))]


_GRAPH_BUILDERS: dict[Any, Callable[[Any, tuple[int, int]], list[TaskGraph]]] = {
    BEiT3Classification: _classification,
    BEiT3ZeroShotClassification: _zero_shot,
    BEiT3Retrieval: _retrieval,
    BEiT3VQA: _vqa,
    BEiT3NLVR2: _nlvr2,
}


# The argument names of each forward become the names of the file's inputs, so all modules spell them out.


class _ImageClassifier(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)


class _ImageEncoder(nn.Module):
    def __init__(self, network: DualEncoder) -> None:
        super().__init__()
        self.network: Any = _copy_without(network, "language", "language_head")

    def forward(self, image: Tensor) -> Tensor:
        return self.network.encode_image(image)


class _TextEncoder(nn.Module):
    def __init__(self, network: DualEncoder) -> None:
        super().__init__()
        self.network: Any = _copy_without(network, "vision", "vision_head")

    def forward(self, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        return self.network.encode_text(tokens, padding_mask)


class _ZeroShotClassifier(nn.Module):
    def __init__(self, model: BEiT3ZeroShotClassification) -> None:
        super().__init__()
        self.images = _ImageEncoder(model.network)
        # The class features and the temperature are constants of the file, so it needs no text tower.
        scale = model.network.logit_scale.detach().exp()
        self.register_buffer("classes", scale * model.class_features().t())

    def forward(self, image: Tensor) -> Tensor:
        return self.images(image) @ self.classes


class _VQAClassifier(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, image: Tensor, tokens: Tensor, padding_mask: Tensor) -> Tensor:
        return self.network.logits(image, tokens, padding_mask)


class _NLVR2Classifier(_VQAClassifier):
    def forward(self, image: Tensor, image2: Tensor, tokens: Tensor, padding_mask: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.logits(image, image2, tokens, padding_mask)


def _copy_without(network: nn.Module, *names: str) -> nn.Module:
    """Return a copy of a network with shared weights but without some submodules, which would enlarge the file."""
    reduced = copy(network)
    reduced._modules = {name: module for name, module in network._modules.items() if name not in names}
    return reduced
