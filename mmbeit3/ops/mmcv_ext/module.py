"""The module that replaces ``mmcv._ext``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

from mmbeit3.autoload import serves_extension
from mmbeit3.ops.mmcv_ext import boxes, deform_attn, focal_loss, info, roi_align
from mmbeit3.versions import MMCV_EXTENSION

__all__ = ["is_compiled", "is_replaced", "make_replacement"]

_PROVIDERS = (boxes, deform_attn, focal_loss, info, roi_align)


class _Replacement(ModuleType):
    """Module with every attribute that mmcv looks up. An op that mmbeit3 does not have raises an error when it is called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            # inspect, pickle and the import system look these up in every module.
            raise AttributeError(f"module {MMCV_EXTENSION!r} has no attribute {name!r}")

        def missing(*args: object, **kwargs: object) -> NoReturn:
            raise NotImplementedError(
                f"operator '{name}' needs mmcv's compiled ops, which are not installed and which mmbeit3 does not replace. "
                "With torch and a C++ compiler installed: pip install --no-build-isolation --force-reinstall --no-deps "
                "--no-binary :all: onedl-mmcv (about 15 minutes), or install a wheel that was built for your torch"
            )

        return missing


def make_replacement() -> ModuleType:
    """Create the module with mmbeit3's versions of mmcv's ops."""
    module = _Replacement(MMCV_EXTENSION, "mmbeit3's replacements for mmcv's compiled ops")
    for provider in _PROVIDERS:
        for operator in provider.__all__:
            setattr(module, operator, getattr(provider, operator))
    return module


def is_replaced() -> bool:
    """Return True if mmbeit3's replacements are in use."""
    return isinstance(sys.modules.get(MMCV_EXTENSION), _Replacement) or (
        MMCV_EXTENSION not in sys.modules and serves_extension()
    )


def is_compiled() -> bool:
    """Return True if mmcv's compiled ops are installed and loaded."""
    return MMCV_EXTENSION in sys.modules and not is_replaced()
