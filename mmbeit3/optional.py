"""Turn any error while mmpretrain is imported into an ``ImportError``.

mmdet imports mmpretrain if it is installed, and continues without it only after an ``ImportError``. mmpretrain 1.3.6 raises
other errors if transformers 5 is installed or one of its requirements is broken.
"""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from mmbeit3.import_hooks import WrappingFinder, WrappingLoader

__all__ = ["guard_imports"]

_GUARDED = "mmpretrain"


class _GuardedLoader(WrappingLoader):
    """Loader that turns any error of a module's execution into an ``ImportError``."""

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


class _GuardedFinder(WrappingFinder):
    """Finder of a guarded library's modules."""

    wrapper = _GuardedLoader

    def wants(self, fullname: str) -> bool:
        return fullname.partition(".")[0] == _GUARDED


def guard_imports() -> None:
    """Install the finder. Repeated calls have no effect; nothing is imported."""
    _GuardedFinder.install()


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
