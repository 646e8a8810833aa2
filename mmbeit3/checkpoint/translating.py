"""Modules that translate checkpoints of their own kind, in any layout, such as ``TimmViT``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mmbeit3.checkpoint.prefixes import split_by_prefix

__all__ = ["Translated", "Translates", "part_that_translates", "translate_part"]


@dataclass
class Translated:
    """A file's tensors in the form that a module loads.

    Attributes:
        tensors: the module's names to tensors in the module's sizes.
        layout: name of the layout found.
        resized: names of tensors that were resized, with the old and new sizes.
        unused: names in the file that the module does not have.
    """

    tensors: dict[str, Tensor]
    layout: str
    resized: dict[str, str]
    unused: list[str]


@runtime_checkable
class Translates(Protocol):
    """A module that knows the layouts of its files, such as :class:`~mmbeit3.models.backbones.TimmViT`."""

    def translate(self, state: Mapping[str, Tensor], source: str, grid: Sequence[int] | Tensor | None = None) -> Translated:
        """Translate a file's tensors.

        Args:
            state: the tensors.
            source: the file, for messages.
            grid: (h, w) of the file's position table, if known.

        Raises:
            UserError: if the file does not match the module.
        """


def part_that_translates(model: nn.Module) -> tuple[str, Translates] | None:
    """Return the first part of a model that translates, with its name in the model; the model itself has an empty name."""
    return next(((name, part) for name, part in model.named_modules() if isinstance(part, Translates)), None)


def translate_part(
    model: nn.Module,
    name: str,
    part: Translates,
    state: dict[str, Tensor],
    source: str,
    grid: Sequence[int] | Tensor | None,
) -> Translated | None:
    """Let a part of a model translate its tensors in a file: those under the part's name, or a file of the part alone.

    Args:
        model: the model.
        name, part: from :func:`part_that_translates`.
        state: the file's tensors.
        source, grid: see :class:`Translates`.

    Returns:
        All tensors of the file under the model's names, or None if the file has only other parts of the model.

    Raises:
        UserError: if the file does not match the part.
    """
    prefix = f"{name}." if name else ""
    inside, outside = split_by_prefix(state, prefix)
    if not inside:
        if outside.keys() & model.state_dict().keys():
            return None
        inside, outside = outside, {}
    read = part.translate(inside, source, grid)
    return Translated(
        {prefix + key: tensor for key, tensor in read.tensors.items()} | outside,
        read.layout,
        {prefix + key: sizes for key, sizes in read.resized.items()},
        [prefix + key if outside else key for key in read.unused],
    )
