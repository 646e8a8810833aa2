"""Placeholder for the model of a recipe. Building it fails, so that no other tool trains something else."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmbeit3.errors import UserError
from mmbeit3.registry import MODELS

__all__ = ["UnresolvedRecipe"]


@MODELS.register_module()
class UnresolvedRecipe(nn.Module):
    """Model of a config that still has a ``recipe``. :func:`~mmbeit3.recipes.resolve_recipe` replaces it.

    Raises:
        UserError: always.
    """

    def __init__(self, **kwargs: Any) -> None:
        raise UserError(
            "this config is a recipe, which only mmbeit3's tools complete: train with mmbeit3's tools/train.py, or give the "
            "complete config that it wrote into its work_dir"
        )
