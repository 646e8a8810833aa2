"""The module object that takes the place of ``mmcv._ext``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

from mmbeit3.autoload import NAME, install
from mmbeit3.ops.mmcv_ext import boxes, deform_attn, focal_loss, info, roi_align

__all__ = ["is_compiled", "is_stand_in", "make_stand_in", "provide"]

_PROVIDERS = (boxes, deform_attn, focal_loss, info, roi_align)


class _StandIn(ModuleType):
    """Answers mmcv's check that every operator exists, and says so clearly when one that does not is called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            # inspect, pickle and import machinery probe every module for these.
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

        def missing(*args: object, **kwargs: object) -> NoReturn:
            raise NotImplementedError(
                f"operator '{name}' needs mmcv's compiled module, which this installation lacks and mmbeit3 does not replace. "
                "With torch installed and a C++ compiler at hand: pip install --no-build-isolation --force-reinstall --no-deps "
                "--no-binary :all: onedl-mmcv (about 15 minutes), or install a wheel that was built for your torch"
            )

        return missing


def make_stand_in(name: str) -> ModuleType:
    """A module of mmcv's operators by us, under the name of the compiled one."""
    module = _StandIn(name, "mmbeit3's stand-in for mmcv's compiled operators")
    for provider in _PROVIDERS:
        for operator in provider.__all__:
            setattr(module, operator, getattr(provider, operator))
    return module


def provide() -> bool:
    """Put the stand-in in the place of mmcv's compiled module, if that is missing. Can be called again.

    Returns:
        True where the stand-in is in use, False where the compiled module is.

    Raises:
        ImportError: if the compiled module is there but cannot be loaded, which happens after an upgrade of torch.
    """
    install(force=True)
    try:
        importlib.import_module(NAME)
    except ImportError as error:
        raise ImportError(
            f"mmcv's compiled module is installed but cannot be loaded ({error}): it was built for another torch. "
            "Build mmcv again, or remove the file and mmbeit3's own operators are used"
        ) from error
    return is_stand_in()


def is_stand_in() -> bool:
    """Whether the operators in use are ours."""
    return isinstance(sys.modules.get(NAME), _StandIn)


def is_compiled() -> bool:
    """Whether mmcv's own compiled operators are there and loaded."""
    return NAME in sys.modules and not is_stand_in()
