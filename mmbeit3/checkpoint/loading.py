"""Loading a checkpoint into a model: recognise its layout, fit its sizes, report the result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint.fitting import HEAD, check_depth, check_shape, check_type, fit
from mmbeit3.checkpoint.integrity import check_finite
from mmbeit3.checkpoint.layouts import detect_layout
from mmbeit3.checkpoint.naming import count_names, list_names, shape_text
from mmbeit3.checkpoint.positions import POSITION_GRID, resized_tables, without_grids
from mmbeit3.checkpoint.prefixes import BARE_TOWERS, rename_tower, split_by_prefix, split_owner
from mmbeit3.checkpoint.reading import read_state_dict
from mmbeit3.checkpoint.translating import part_that_translates, translate_part
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.errors import UserError

__all__ = ["LoadReport", "check_same_model", "fill", "load_checkpoint", "no_weights_error", "read_source"]


@dataclass
class LoadReport:
    """Result of :func:`load_checkpoint`; ``str()`` gives one line.

    Attributes:
        source: the quoted path of the file, or ``state dict``.
        layout: name of the layout in the file, ``native`` if it has the model's names.
        loaded: names in the model that were filled.
        resized: names of loaded tensors that were resized, with the old and new sizes.
        missing: names in the model that the checkpoint lacks; they keep their values.
        unused: names in the checkpoint that the model does not have.
        left_out: names in the checkpoint that were skipped on purpose: the head if ``new_head`` is set, and for
            :func:`~mmbeit3.checkpoint.start_from` tensors of other sizes outside the network.
    """

    source: str
    layout: str
    loaded: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded from {self.source} ({self.layout} layout)"]
        if self.resized:
            parts.append("resized " + ", ".join(f"{name} {sizes}" for name, sizes in self.resized.items()))
        if self.left_out:
            parts.append("left out " + count_names(self.left_out))
        parts.append("missing " + (count_names(self.missing) or "none"))
        parts.append("unused " + (count_names(self.unused) or "none"))
        return "; ".join(parts)


def load_checkpoint(
    model: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    *,
    strict: bool = False,
    allow_nonfinite: bool = False,
    new_head: bool = False,
    grid: Sequence[int] | None = None,
) -> LoadReport:
    """Fill a model from a checkpoint, in place. The model changes only if everything fits.

    Without ``strict``, the checkpoint can have any known layout: official BEiT-3, timm's BEiT-3, mmbeit3's, or official names
    in a reference ViT-Adapter. A backbone takes the vision tower of a full model, and the ``backbone.`` part of a detector or
    segmentor. ``TimmViT``, alone or in an adapter, takes files of its model under the names of timm, of the model's authors
    or of Hugging Face's transformers. Position tables and patch kernels are resized to the model's sizes, and kernels for RGB
    are fitted to other channels.

    With ``strict``, the checkpoint must be of the same whole model, e.g. of a detector that was trained with the same config.
    The reference ViT-Adapter's layout is translated; nothing else is. A position table of another grid with the same number
    of rows is resized, see :class:`~mmbeit3.checkpoint.positions.PositionTable`.

    Args:
        model: :class:`~mmbeit3.models.beit3.BEiT3`, a backbone, or any module whose names the checkpoint has.
        source: path or URL of a file (read safely, see :func:`~mmbeit3.checkpoint.read_state_dict`), or a state dict.
        strict: refuse the checkpoint unless all names, sizes and types match.
        allow_nonfinite: accept weights that are NaN or infinite.
        new_head: leave out the checkpoint's head, even if its size matches, to train a new head for other classes or answers.
        grid: (h, w) of patches in the checkpoint's position table. mmbeit3's files store a grid that is not square. For other
            files the default is a square, or for timm's models the grid of timm's weights.

    Returns:
        The loaded, resized, missing and unused names.

    Raises:
        UserError: if the file cannot be read, has no weights for the model, does not match it in sizes or types, or has
            weights that are NaN or infinite. The message names the tensors.
        ValueError: if ``strict`` is combined with ``new_head`` or ``grid``.
    """
    if strict and (new_head or grid is not None):
        raise ValueError("strict=True loads a checkpoint of the same model: it cannot be combined with new_head or grid")
    state, name = read_source(source)
    if strict:
        return _load_strict(model, state, name, allow_nonfinite)
    return fill(model, dict(state), name, allow_nonfinite, new_head, grid)


def read_source(source: str | Path | Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], str]:
    """Read the tensors of a file; a state dict is returned unchanged. The second value is the source's name in messages."""
    if isinstance(source, Mapping):
        return source, "state dict"
    return read_state_dict(source), f"'{source}'"


def fill(
    model: nn.Module,
    state: dict[str, Tensor],
    source: str,
    allow_nonfinite: bool = False,
    new_head: bool = False,
    grid: Sequence[int] | None = None,
) -> LoadReport:
    """Fill a model from tensors that were already read, as :func:`load_checkpoint` does without ``strict``.

    ``source`` is the checkpoint's name in messages.
    """
    translating = part_that_translates(model)
    # A module that translates its own files finds its tensors in the file itself.
    state, outside = _unwrap(state, model.state_dict() if translating is None else None)
    state, grids = without_grids(state)
    source_grid = grid if grid is not None else next(iter(grids.values()), None)
    layout = detect_layout(state)
    # Some other ViTs have the same mark as timm's BEiT-3. A module that translates recognises its own files.
    if layout is not None and (translating is None or layout.name != "timm"):
        state = layout.to_ours(state)
    state = rename_tower(state, BARE_TOWERS)
    report = LoadReport(source=source, layout=layout.name if layout else "native")
    if translating is not None and (read := translate_part(model, *translating, state, source, source_grid)) is not None:
        state, report.layout, report.resized, report.unused = read.tensors, read.layout, read.resized, read.unused
    if new_head:
        report.left_out = [name for name in state if HEAD.match(name)]
        state = {name: value for name, value in state.items() if not HEAD.match(name)}

    target, _ = without_grids(model.state_dict(keep_vars=True))
    # Both sides under the names of the whole network, so that a bare tower matches a full checkpoint.
    renamed = rename_tower(target, BARE_TOWERS)
    check_depth(source, renamed, state)
    fitted: dict[str, Tensor] = {}
    for key, name in zip(renamed, target, strict=True):
        if key not in state:
            # Statistics of a batch norm work without their counter.
            if not name.endswith("num_batches_tracked"):
                report.missing.append(name)
            continue
        check_type(source, name, state[key], target[name])
        value = fit(model, name, state[key], target[name], source_grid)
        check_shape(source, name, state[key], value, target[name])
        if value is not state[key]:
            same = value.shape == state[key].shape
            report.resized[name] = "another grid" if same else f"{shape_text(state[key].shape)} to {shape_text(value.shape)}"
        fitted[name] = value
    if not fitted:
        raise no_weights_error(model, source, state, target)
    if not allow_nonfinite:
        check_finite(source, fitted.items())
    with torch.no_grad():
        for name, value in fitted.items():
            target[name].copy_(value)
    report.loaded = list(fitted)
    report.unused += [*(key for key in state if key not in renamed), *outside]
    return report


def no_weights_error(model: nn.Module, source: str, state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> UserError:
    """Build the error for a checkpoint that shares no name with the model."""
    return UserError(
        f"checkpoint {source} has no weights for {type(model).__name__}: the file has names such as {list_names(list(state))}, "
        f"the model has names such as {list_names(list(target))}. Give a checkpoint of this model"
    )


def check_same_model(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Check that a state dict has the names and sizes of a model.

    Args:
        model: the model.
        state: names to tensors.
        source: path of the file, for messages.

    Raises:
        UserError: if a name or a size differs; the message names it.
    """
    _check_names_and_sizes(model, state, f"'{source}'")


def _load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str, allow_nonfinite: bool) -> LoadReport:
    layout = detect_layout(state)
    if layout is not None and layout.name == "vit_adapter":
        state = layout.to_ours(state)
    _check_names_and_sizes(model, state, source)
    target = model.state_dict()
    for name, tensor in target.items():
        if name in state:
            check_type(source, name, state[name], tensor)
    if not allow_nonfinite:
        check_finite(source, state.items())
    resized = resized_tables(model, state)
    model.load_state_dict(state)
    report = LoadReport(source=source, layout=layout.name if layout else "native")
    report.loaded = list(without_grids(target)[0])
    report.resized = dict.fromkeys(resized, "another grid")
    return report


def _check_names_and_sizes(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    target = model.state_dict()
    advice = "Use the config the checkpoint was trained with"
    if differing := [name for name in target if name in state and state[name].shape != target[name].shape]:
        name = differing[0]
        raise UserError(
            f"checkpoint {source} does not match the model: {name} has shape {shape_text(state[name].shape)} in the file and "
            f"{shape_text(target[name].shape)} in the model ({len(differing)} tensors differ). {advice}"
        )
    # Files from before grids were stored lack them. PositionTable checks the grid when the table is loaded.
    missing = [name for name in target if name not in state and name.rpartition(".")[2] != POSITION_GRID]
    unknown = [name for name in state if name not in target]
    problems = [
        f"{owner} lacks {count_names(names)}" for owner, names in (("the file", missing), ("the model", unknown)) if names
    ]
    if problems:
        raise UserError(f"checkpoint {source} does not match the model: {', and '.join(problems)}. {advice}")


def _unwrap(state: dict[str, Tensor], model_names: Collection[str] | None) -> tuple[dict[str, Tensor], list[str]]:
    """Remove wrappers' prefixes and take the network out of a larger model.

    Args:
        state: the file's tensors.
        model_names: the model's names. None removes no wrapper but DDP's ``module.``.

    Returns:
        The network's tensors, and the names of the others.
    """
    dropped: list[str] = []
    if model_names is not None:
        state, dropped = without_wrapper(state, model_names)
    elif all(name.startswith("module.") for name in state):
        state, _ = split_by_prefix(state, "module.")
    network, outside = split_owner(state)
    return network, [*dropped, *outside]
