"""Modules that read files of their own, whatever layout these are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["Translated", "Translates", "part_that_translates", "translate_part"]


@dataclass
class Translated:
    """A file's tensors as a module wants them.

    Attributes:
        tensors: by the module's own names, in its sizes.
        layout: the key layout found.
        resized: of these, which were resized, and in words from what to what.
        unused: names of the file that the module has no place for.
    """

    tensors: dict[str, Tensor]
    layout: str
    resized: dict[str, str]
    unused: list[str]


@runtime_checkable
class Translates(Protocol):
    """A module that knows the layouts of its own files, such as :class:`~mmbeit3.models.backbones.TimmViT`."""

    def translate(self, state: Mapping[str, Tensor], source: str, grid: Sequence[int] | Tensor | None = None) -> Translated:
        """Translate a file's tensors.

        Args:
            state: the tensors.
            source: the file, for messages.
            grid: (h, w) of the file's position table, if known.

        Raises:
            UserError: if the file is of another model.
        """


def part_that_translates(model: nn.Module) -> tuple[str, Translates] | None:
    """The first part of a model that translates, and its name in the model: empty for the model itself."""
    return next(((name, part) for name, part in model.named_modules() if isinstance(part, Translates)), None)


def translate_part(
    model: nn.Module,
    name: str,
    part: Translates,
    state: dict[str, Tensor],
    source: str,
    grid: Sequence[int] | Tensor | None,
) -> Translated | None:
    """Have a part of a model read what is its own in a file: what stands under its name there, or a file that is of it alone.

    Args:
        model: the model.
        name, part: as :func:`part_that_translates` gives them.
        state: the file's tensors.
        source, grid: see :class:`Translates`.

    Returns:
        All tensors of the file by the model's names, or None where they are of other parts alone.

    Raises:
        UserError: if the file is of another model.
    """
    root = f"{name}." if name else ""
    own = {key.removeprefix(root): tensor for key, tensor in state.items() if key.startswith(root)}
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(root)}
    if not own:
        if rest.keys() & model.state_dict().keys():
            return None
        own, rest = rest, {}
    read = part.translate(own, source, grid)
    return Translated(
        {root + key: tensor for key, tensor in read.tensors.items()} | rest,
        read.layout,
        {root + key: words for key, words in read.resized.items()},
        [root + key if rest else key for key in read.unused],
    )
