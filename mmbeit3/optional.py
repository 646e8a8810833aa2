"""Turn any error while mmpretrain is imported into an ``ImportError``.

mmdet imports mmpretrain if it is installed, and continues without it only after an ``ImportError``. mmpretrain 1.3.6 raises
other errors if transformers 5 is installed or one of its requirements is broken.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from mmbeit3.import_hooks import find_by_others

__all__ = ["guard_imports"]

_GUARDED = "mmpretrain"


class _GuardedFinder(MetaPathFinder):
    """Finder that asks all other finders for a guarded library's modules and wraps their loader."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _GUARDED:
            return None
        spec = find_by_others(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _GuardedLoader(spec.loader)
        return spec


class _GuardedLoader(Loader):
    """Loader that turns any error of a module's execution into an ``ImportError``."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except ImportError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ImportError(f"{module.__name__} is installed but broken ({reason})", name=_GUARDED) from error
        if module.__name__ == f"{_GUARDED}.utils.dependency" and _has_transformers_5():
            _leave_out_multimodal(module)


def guard_imports() -> None:
    """Install the finder. Repeated calls have no effect; nothing is imported."""
    if not any(isinstance(finder, _GuardedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _GuardedFinder())


def _has_transformers_5() -> bool:
    try:
        return int(version("transformers").partition(".")[0]) >= 5
    except PackageNotFoundError:
        return False


def _leave_out_multimodal(dependency: ModuleType) -> None:
    """Disable mmpretrain's own multi-modal models, which need transformers 4."""
    from mmengine.logging import print_log

    dependency.WITH_MULTIMODAL = False  # type: ignore[attr-defined]
    reason = f"they need transformers 4, and {version('transformers')} is installed"
    print_log(f"mmpretrain's own multi-modal models are disabled: {reason}", logger="current", level=logging.INFO)
