"""Grids of position tables, stored beside the tables: the number of rows does not tell 14 x 56 patches from 28 x 28."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["POSITION_GRID", "PositionTable", "resized_tables", "without_grids"]

POSITION_GRID = "position_grid"
"""Name of the buffer (h, w) in state dicts. A square grid is not stored: a table without this buffer counts as square."""


class PositionTable(nn.Module):
    """Base class of modules with a position table. Their state dict stores the grid; loading resizes tables of other grids.

    The resizing is part of ``load_state_dict``, so it works for every loader. MMEngine's ``load_from`` alone would skip a table
    of another size and train with random positions. A subclass calls :meth:`keep_grid` once and implements
    :meth:`fit_positions`.

    If a state dict does not store the grid and its table has the module's size, the table is taken to have the module's grid
    in two cases: the file was written before grids were stored, or its rows cannot form a square.
    """

    # PyTorch stores this version in .pth files. Version 1 is from before grids were stored.
    _version = 2
    _table: str | None = None
    _table_grid: tuple[int, int]

    def keep_grid(self, table: str, grid: tuple[int, int]) -> None:
        """Set the name of the position table in the module's state dict, and the (h, w) of its patches."""
        self._table, self._table_grid = table, grid
        if grid[0] != grid[1]:
            self.register_buffer(POSITION_GRID, torch.tensor(grid))
        self.register_load_state_dict_pre_hook(_before_loading)

    def fit_positions(self, table: Tensor, source_grid: Tensor | None) -> Tensor:
        """Resize a position table to the module's grid.

        Args:
            table: table of any grid.
            source_grid: (h, w) of the table, if the state dict stores it.

        Returns:
            The resized table, or ``table`` itself if it has the module's grid.

        Raises:
            mmbeit3.errors.UserError: if the table's grid is unknown.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement fit_positions")


def _fit_table(module: PositionTable, table: Tensor, source_grid: Tensor | None, version: int | None) -> Tensor:
    """Resize a state dict's table for a module; returns the table itself if it has the module's grid."""
    assert module._table is not None
    h, w = module._table_grid
    # See the class docstring: nothing but the module's grid is possible.
    same_grid = version == 1 or math.isqrt(h * w) ** 2 != h * w
    if source_grid is None and same_grid and table.shape == module.get_parameter(module._table).shape:
        source_grid = torch.tensor((h, w))
    return module.fit_positions(table, source_grid)


def _before_loading(module: PositionTable, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any], *_: object) -> None:
    """Replace the table in a state dict by one for the module's grid, before PyTorch loads it."""
    assert module._table is not None
    source_grid = state.pop(prefix + POSITION_GRID, None)
    if hasattr(module, POSITION_GRID):
        state[prefix + POSITION_GRID] = torch.tensor(module._table_grid)
    name = prefix + module._table
    if name not in state:
        return
    found = state[name]
    state[name] = _fit_table(module, found, source_grid, metadata.get("version"))
    if state[name] is not found:
        h, w = module._table_grid
        warnings.warn(
            f"{name} resized from {found.shape[-2]} rows to {state[name].shape[-2]} on loading, for {h} x {w} patches",
            stacklevel=2,
        )


def resized_tables(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the position tables that ``model.load_state_dict(state)`` will resize.

    Raises:
        mmbeit3.errors.UserError: if a table's grid is unknown or wrong.
    """
    versions = getattr(state, "_metadata", {})
    resized = []
    for path, module in model.named_modules():
        if isinstance(module, PositionTable) and module._table is not None:
            prefix = f"{path}." if path else ""
            name = prefix + module._table
            version = versions.get(path, {}).get("version")
            if name in state and _fit_table(module, state[name], state.get(prefix + POSITION_GRID), version) is not state[name]:
                resized.append(name)
    return resized


def without_grids(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a state dict into weights, and the grids of position tables by the name of the module that has the table."""
    grids = {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] == POSITION_GRID}
    rest = {name: tensor for name, tensor in state.items() if name not in grids}
    return rest, {name.rpartition(".")[0]: tensor for name, tensor in grids.items()}
