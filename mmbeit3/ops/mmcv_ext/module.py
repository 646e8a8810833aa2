"""The module object that takes the place of ``mmcv._ext``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

from mmbeit3.ops.mmcv_ext import boxes, deform_attn, focal_loss, info, roi_align

__all__ = ["is_compiled", "is_stand_in", "provide"]

_NAME = "mmcv._ext"
_PROVIDERS = (boxes, deform_attn, focal_loss, info, roi_align)


class _StandIn(ModuleType):
    """Answers mmcv's check that every operator exists, and says so clearly when one that does not is called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            # inspect, pickle and import machinery probe every module for these.
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}")

        def missing(*args: object, **kwargs: object) -> NoReturn:
            raise NotImplementedError(
                f"operator '{name}' needs mmcv's compiled module, which this installation lacks and mmbeit3 does not replace. "
                "With torch installed and a C++ compiler at hand: pip install --no-build-isolation --force-reinstall --no-deps "
                "--no-binary :all: onedl-mmcv (about 15 minutes), or install a wheel that was built for your torch"
            )

        return missing


def provide() -> bool:
    """Put the stand-in in the place of mmcv's compiled module, if that is missing. Can be called again.

    Returns:
        True where the stand-in is in use, False where the compiled module is.

    Raises:
        ImportError: if the compiled module is there but cannot be loaded, which happens after an upgrade of torch.
    """
    if _NAME in sys.modules:
        return is_stand_in()
    if find_spec(_NAME) is not None:
        try:
            importlib.import_module(_NAME)
        except ImportError as error:
            raise ImportError(
                f"mmcv's compiled module is installed but cannot be loaded ({error}): it was built for another torch. "
                "Build mmcv again, or remove the file and mmbeit3's own operators are used"
            ) from error
        return False
    module = _StandIn(_NAME, "mmbeit3's stand-in for mmcv's compiled operators")
    # MMEngine asks find_spec() whether the operators are there, and that wants a spec.
    module.__spec__ = ModuleSpec(_NAME, loader=None, origin=__name__)
    for provider in _PROVIDERS:
        for name in provider.__all__:
            setattr(module, name, getattr(provider, name))
    sys.modules[_NAME] = module
    importlib.import_module("mmcv")._ext = module  # type: ignore[attr-defined]
    return True


def is_stand_in() -> bool:
    """Whether the operators in use are ours."""
    return isinstance(sys.modules.get(_NAME), _StandIn)


def is_compiled() -> bool:
    """Whether mmcv's own compiled operators are there and loaded."""
    return _NAME in sys.modules and not is_stand_in()
