"""How the patches of a position table lie, kept beside it: rows alone do not say whether they are 14 x 56 or 28 x 28."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["POSITION_GRID", "PositionTable", "without_grids"]

POSITION_GRID = "position_grid"
"""Name of the buffer (h, w) in state dicts. Square grids have none: that is what a table without is taken for."""


class PositionTable(nn.Module):
    """Base of modules with a position table, whose state dict says its grid, and which resize tables of other grids.

    They do so whoever loads: MMEngine's ``load_from`` would leave out a table of another size and train on with random
    positions. Subclasses call :meth:`keep_grid` once and give :meth:`fit_positions`.

    A state dict that does not say its grid, though it is of the same size, is one of the same model where nothing else is
    possible: where it was written before grids were kept, or its rows make no square.
    """

    # State dicts of version 1, which PyTorch keeps in .pth files, were written before grids were kept.
    _version = 2
    _table: str
    _table_grid: tuple[int, int]

    def keep_grid(self, table: str, grid: tuple[int, int]) -> None:
        """Say which of the module's tensors the table is, as named in its state dict, and the (h, w) of its patches."""
        self._table, self._table_grid = table, grid
        if grid[0] != grid[1]:
            self.register_buffer(POSITION_GRID, torch.tensor(grid))
        self.register_load_state_dict_pre_hook(_before_loading)

    def fit_positions(self, table: Tensor, told: Tensor | None) -> Tensor:
        """Return a state dict's table for this module's grid, itself if it is of this grid.

        Args:
            table: of any grid.
            told: its grid (h, w), if the state dict says it.

        Raises:
            mmbeit3.errors.UserError: if the grid is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its positions are resized")


def _before_loading(module: PositionTable, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any], *_: object) -> None:
    told = state.pop(prefix + POSITION_GRID, None)
    if hasattr(module, POSITION_GRID):
        state[prefix + POSITION_GRID] = torch.tensor(module._table_grid)
    name = prefix + module._table
    if name not in state:
        return
    found = state[name]
    h, w = module._table_grid
    unsaid = metadata.get("version") == 1 or math.isqrt(h * w) ** 2 != h * w
    if told is None and unsaid and found.shape == module.get_parameter(module._table).shape:
        told = torch.tensor((h, w))
    state[name] = module.fit_positions(found, told)
    if state[name] is not found:
        warnings.warn(
            f"{name} resized from {found.shape[-2]} rows to {state[name].shape[-2]} on loading, for {h} x {w} patches",
            stacklevel=2,
        )


def without_grids(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a state dict into weights, and the grids of position tables by the name of what they are in."""
    grids = {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] == POSITION_GRID}
    rest = {name: tensor for name, tensor in state.items() if name not in grids}
    return rest, {name.rpartition(".")[0]: tensor for name, tensor in grids.items()}
