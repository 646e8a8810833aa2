"""Loading a checkpoint into a model: find its layout, fit its sizes, say what happened."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint.integrity import check_finite
from mmbeit3.checkpoint.layouts import detect_layout
from mmbeit3.checkpoint.naming import count_names, list_names, shape_text
from mmbeit3.checkpoint.positions import POSITION_GRID, without_grids
from mmbeit3.checkpoint.reading import read_state_dict
from mmbeit3.checkpoint.resizing import resize_channels, resize_patch_kernel, resize_position_table
from mmbeit3.checkpoint.translating import part_that_translates, translate_part
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.errors import UserError

__all__ = ["LoadReport", "check_same_model", "fill", "load_checkpoint", "load_weights"]

_ROOTS = (("vit.embed.", "vit."), ("embed.", ""))
"""How to tell a bare vision tower (or one inside a ViT-Adapter) by its names, and what stands for ``vision.`` in it."""

_PARTS = ("backbone.", "network.")
"""Where detectors and segmentors, and pretraining, have the network."""

_HEAD = re.compile(r"(?:\w+_)?head\.")
"""Names of a task's own weights, in pretraining and after."""


@dataclass
class LoadReport:
    """What :func:`load_checkpoint` did; ``str()`` gives one line.

    Attributes:
        source: the file, or ``'state dict'``.
        layout: the key layout found.
        loaded: names in the model that were filled.
        resized: of these, which were resized, with the old and new sizes.
        missing: names in the model that the checkpoint lacks; they keep their values.
        unused: names in the checkpoint that the model has no place for.
        left_out: names of the checkpoint's head, if it was not wanted.
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
            parts.append("left out, for a new head, " + count_names(self.left_out))
        parts.append("missing " + (count_names(self.missing) or "none"))
        parts.append("unused " + (count_names(self.unused) or "none"))
        return "; ".join(parts)


def load_checkpoint(
    model: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    allow_nonfinite: bool = False,
    new_head: bool = False,
    grid: Sequence[int] | None = None,
) -> LoadReport:
    """Fill a model from a checkpoint of any known layout, in place.

    Official BEiT-3 files, timm's, our own, and official keys beside a reference ViT-Adapter's are understood; a backbone takes
    the vision part of a full model, and the ``backbone.`` part of a detector or segmentor. ``TimmViT``, alone or in an adapter,
    takes files of its model under the names of timm, of its authors or of Hugging Face's transformers. Position tables and
    patch kernels of other sizes are resized, and patch kernels for RGB fitted to other channels. Nothing is written into the
    model unless everything fits.

    Args:
        model: :class:`~mmbeit3.models.beit3.BEiT3`, a backbone, or any module whose names the checkpoint has.
        source: path or URL of a file (read safely, see :func:`~mmbeit3.checkpoint.read_state_dict`), or a state dict.
        allow_nonfinite: take weights that are NaN or infinite.
        new_head: leave out the weights of the checkpoint's head, whether they fit or not: for other classes or answers, of
            which there may be as many by chance.
        grid: rows and columns of patches in the checkpoint's position table. Our files say it where they are not equal; of
            others it is taken for square, or, of timm's models, for that of timm's weights.

    Returns:
        What was loaded, resized, missing and unused.

    Raises:
        UserError: if the file cannot be read, has nothing for this model, has other sizes or types, or weights that are no
            numbers; the message names them.
    """
    if isinstance(source, Mapping):
        return fill(model, dict(source), "state dict", allow_nonfinite, new_head, grid)
    return fill(model, read_state_dict(source), f"'{source}'", allow_nonfinite, new_head, grid)


def fill(
    model: nn.Module,
    state: dict[str, Tensor],
    name: str,
    allow_nonfinite: bool = False,
    new_head: bool = False,
    grid: Sequence[int] | None = None,
) -> LoadReport:
    """As :func:`load_checkpoint`, for a file that was read already; ``name`` is what messages call it."""
    foreign = part_that_translates(model)
    # Modules that translate find their part by themselves.
    state, dropped = _unwrap(state, model.state_dict() if foreign is None else None)
    state, grids = without_grids(state)
    told = grid if grid is not None else next(iter(grids.values()), None)
    layout = detect_layout(state)
    # The mark of timm's BEiT-3 is also some other ViTs', which know what they are.
    if layout is not None and (foreign is None or layout.name != "timm"):
        state = layout.to_ours(state)
    state = _rename_root(state)
    report = LoadReport(source=name, layout=layout.name if layout else "own")
    if foreign is not None and (read := translate_part(model, *foreign, state, name, told)) is not None:
        state, report.layout, report.resized, report.unused = read.tensors, read.layout, read.resized, read.unused
    if new_head:
        report.left_out = [key for key in state if _HEAD.match(key)]
        state = {key: value for key, value in state.items() if not _HEAD.match(key)}

    target, _ = without_grids(model.state_dict(keep_vars=True))
    canonical = _rename_root(target)
    own_names = dict(zip(canonical, target, strict=True))
    _check_depth(canonical, state, name)
    fitted: dict[str, Tensor] = {}
    for key, tensor in canonical.items():
        own = own_names[key]
        if key not in state:
            # A batch norm's counter is of no consequence where its statistics are there.
            if not own.endswith("num_batches_tracked"):
                report.missing.append(own)
            continue
        _check_type(name, own, state[key], tensor)
        value = _fit(model, own, state[key], tensor, told)
        if value.shape != tensor.shape:
            if _HEAD.match(key) and state[key].ndim == tensor.ndim > 0 and state[key].shape[1:] == tensor.shape[1:]:
                raise UserError(
                    f"checkpoint {name} has another head: {own} has {len(state[key])} rows there and {len(tensor)} in the "
                    "model; build the model for the file's classes or answers, or, to fine-tune for others, set "
                    "new_head=True in its init_cfg"
                )
            raise UserError(
                f"checkpoint {name} is of another architecture: {own} is {shape_text(state[key].shape)} there and "
                f"{shape_text(tensor.shape)} in the model; choose the arch that it was made with"
            )
        if value is not state[key]:
            same = value.shape == state[key].shape
            report.resized[own] = "another grid" if same else f"{shape_text(state[key].shape)} to {shape_text(tensor.shape)}"
        fitted[own] = value
    if not fitted:
        raise UserError(
            f"checkpoint {name} has nothing for {type(model).__name__}: "
            f"its names start like {list_names(list(state))}, the model's like {list_names(list(target))}"
        )
    if not allow_nonfinite:
        check_finite(name, fitted.items())
    with torch.no_grad():
        for own, value in fitted.items():
            target[own].copy_(value)
    report.loaded = list(fitted)
    report.unused += [*(key for key in state if key not in canonical), *dropped]
    return report


def load_weights(model: nn.Module, source: str | Path, allow_nonfinite: bool = False) -> None:
    """Fill a whole model, such as a detector, from a checkpoint that training of the same model wrote.

    A file of the reference ViT-Adapter is translated. Read as safely as everything else; MMEngine's own loader is not used,
    see :func:`load_checkpoint`.

    Args:
        model: the model.
        source: path or URL of a file.
        allow_nonfinite: take weights that are NaN or infinite.

    Raises:
        UserError: if names, sizes or types differ in anything, or weights are no numbers.
    """
    state = read_state_dict(source)
    layout = detect_layout(state)
    if layout is not None and layout.name == "vit_adapter":
        state = layout.to_ours(state)
    check_same_model(model, state, source)
    wanted = model.state_dict()
    for key, tensor in wanted.items():
        if key in state:
            _check_type(f"'{source}'", key, state[key], tensor)
    if not allow_nonfinite:
        check_finite(f"'{source}'", state.items())
    model.load_state_dict(state)


def check_same_model(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Check that a state dict has the names and sizes of a model.

    Args:
        model: the model.
        state: names to tensors.
        source: the file that they are of.

    Raises:
        UserError: naming what differs.
    """
    wanted = model.state_dict()
    if differing := [name for name in wanted if name in state and state[name].shape != wanted[name].shape]:
        name = differing[0]
        raise UserError(
            f"checkpoint '{source}' is of another model: {name} is {shape_text(state[name].shape)} there and "
            f"{shape_text(wanted[name].shape)} in the config's model ({len(differing)} tensors differ); use the config "
            "it was trained with"
        )
    # Older files do not say the grid of a position table, which is then seen when they are loaded.
    missing = [name for name in wanted if name not in state and name.rpartition(".")[2] != POSITION_GRID]
    unknown = [name for name in state if name not in wanted]
    if missing or unknown:
        raise UserError(
            f"checkpoint '{source}' is of another model: it lacks {count_names(missing) or 'nothing'} and has besides "
            f"{count_names(unknown) or 'nothing'}; use the config it was trained with"
        )


def _unwrap(state: dict[str, Tensor], own: Collection[str] | None) -> tuple[dict[str, Tensor], list[str]]:
    """Strip wrappers' prefixes and take the network out of what it was trained in; also returns the names left out."""
    outside: list[str] = []
    if own is not None:
        state, outside = without_wrapper(state, own)
    elif all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for part in _PARTS:
        network = {name.removeprefix(part): tensor for name, tensor in state.items() if name.startswith(part)}
        if network:
            return network, [*outside, *(name for name in state if not name.startswith(part))]
    return state, outside


def _rename_root(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give a bare vision tower the names it has in the full model."""
    for mark, root in _ROOTS:
        if any(name.startswith(mark) for name in state):
            tower = re.compile(rf"^{re.escape(root)}(?=(?:embed|layers|norm)\.)")
            return {tower.sub("vision.", name): tensor for name, tensor in state.items()}
    return state


def _fit(model: nn.Module, name: str, value: Tensor, target: Tensor, told: Any) -> Tensor:
    """Fit what depends on image size, patch size or channels to the target's size; anything else is returned as it is."""
    if name.endswith("embed.positions") and value.ndim == 2 and value.shape[1] == target.shape[1]:
        grid = getattr(model.get_submodule(name.rpartition(".")[0]), "grid", None)
        if grid is not None:
            return resize_position_table(value, grid, target.shape[0] - math.prod(grid), told)
    if value.shape == target.shape or value.ndim != 4 or value.shape[0] != target.shape[0]:
        return value
    if re.search(r"(?:^|\.)(?:embed\.proj|spm\.stem\.0)\.weight$", name):
        value = resize_channels(name, value, target.shape[1])
    if re.search(r"(?:^|\.)embed\.proj\.weight$", name):
        value = resize_patch_kernel(value, target.shape[2:])
    return value


def _check_type(source: str, name: str, value: Tensor, target: Tensor) -> None:
    """Precision may differ; numbers of another kind are never what was meant."""
    if value.is_floating_point() != target.is_floating_point() or (value.dtype == torch.bool) != (target.dtype == torch.bool):
        raise UserError(
            f"checkpoint {source} is of another architecture or damaged: {name} is {str(value.dtype).removeprefix('torch.')} "
            f"there and {str(target.dtype).removeprefix('torch.')} in the model"
        )


def _check_depth(target: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str) -> None:
    """A checkpoint of another depth would otherwise only show as missing or unused tensors."""
    for tower in ("vision", "language"):
        wanted, found = _size(target, tower), _size(state, tower)
        if wanted is not None and found is not None and wanted != found:
            raise UserError(
                f"checkpoint {name} is of another architecture: its {tower} tower is {found[1]} wide with {found[0]} layers, "
                f"the model's {wanted[1]} wide with {wanted[0]}; choose the arch that it was made with"
            )


def _size(state: Mapping[str, Tensor], tower: str) -> tuple[int, int] | None:
    layers = {match[1] for name in state if (match := re.match(rf"{tower}\.layers\.(\d+)\.", name))}
    width = state.get(f"{tower}.layers.0.attn.out.weight")
    return (len(layers), width.shape[0]) if layers and width is not None and width.ndim == 2 else None
