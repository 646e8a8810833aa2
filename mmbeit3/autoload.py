"""Make replacements for mmcv's compiled ops available to every program of an environment whose mmcv has none.

PyTorch calls :func:`install` when it is imported, because it is an entry point of the group ``torch.backends``. mmdet's and
mmseg's own scripts and inferencers import the ops before they read a config, so this is early enough for them. Nothing else is
imported or changed. Compiled ops take precedence. ``MMBEIT3_MMCV_OPS=0`` in the environment turns this off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from mmbeit3.versions import MMCV_EXTENSION

__all__ = ["install", "serves_extension"]


class _Finder(MetaPathFinder):
    """Finder of the replacements. It is last in ``sys.meta_path``, so a compiled module is found first."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, _ReplacementLoader(), origin=__name__) if fullname == MMCV_EXTENSION else None


class _ReplacementLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # Imports torch, which is being imported itself when install() is called.
        from mmbeit3.ops.mmcv_ext.module import make_replacement

        return make_replacement()

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is complete when it is created."""


def install(force: bool = False) -> None:
    """Serve imports of mmcv's compiled module if it is missing. Repeated calls have no effect.

    Args:
        force: install even if ``MMBEIT3_MMCV_OPS=0``.
    """
    if not force and os.environ.get("MMBEIT3_MMCV_OPS") == "0":
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def serves_extension() -> bool:
    """Return True if an import of mmcv's compiled module gives the replacements; it is not imported, only mmcv itself is."""
    if find_spec("mmcv") is None:
        return False
    spec = find_spec(MMCV_EXTENSION)
    return spec is not None and isinstance(spec.loader, _ReplacementLoader)
