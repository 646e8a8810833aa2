"""Recipes: short configs that become complete ones when they are read, from a folder of data and the size of the ViT."""

from mmbeit3.recipes.arch import set_arch
from mmbeit3.recipes.resolve import resolve_recipe

__all__ = ["resolve_recipe", "set_arch"]
