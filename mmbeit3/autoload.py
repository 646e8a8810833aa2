"""Makes mmcv's operators available to every program in an environment where mmcv was installed without them.

PyTorch calls :func:`install` when it is imported: it is an entry point of the group ``torch.backends``. So mmdet's and
mmseg's own scripts and inferencers work, which import what needs the operators before they read a config. Nothing else is
imported or changed; compiled operators, where there are some, come first. ``MMBEIT3_MMCV_OPS=0`` in the environment switches
it off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["NAME", "install"]

NAME = "mmcv._ext"
"""mmcv's compiled module."""


class _Finder(MetaPathFinder):
    """The last to be asked for mmcv's compiled module, so that it answers only where there is none."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, _StandInLoader(), origin=__name__) if fullname == NAME else None


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from mmbeit3.ops.mmcv_ext.module import make_stand_in

        return make_stand_in(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It is complete already."""


def install(force: bool = False) -> None:
    """Answer imports of mmcv's compiled module, unless it is there. Can be called again.

    Args:
        force: also where the environment says not to.
    """
    if not force and os.environ.get("MMBEIT3_MMCV_OPS") == "0":
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
