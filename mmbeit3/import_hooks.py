"""Run code when a module of another package is imported, so that preparing it does not import it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["after_import", "find_by_others"]

_callbacks: dict[str, Callable[[], None]] = {}


class _Finder(MetaPathFinder):
    """Finder that asks all other finders for the modules with a callback and wraps their loader."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in _callbacks:
            return None
        spec = find_by_others(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _CallingLoader(spec.loader)
        return spec


class _CallingLoader(Loader):
    """Loader that calls the callback of a module after it has executed the module."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Other code that looks at the module must find its own loader.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if callback := _callbacks.pop(module.__name__, None):
            callback()


def after_import(name: str, callback: Callable[[], None]) -> None:
    """Call a function right after a module was executed, before the code that imports it continues; at once if it was already.

    Args:
        name: full name of the module.
        callback: function without arguments; it is called once. A later call for the same module replaces it.
    """
    if name in sys.modules:
        callback()
        return
    _callbacks[name] = callback
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def find_by_others(
    finder: MetaPathFinder, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """Return the spec that the first other finder of ``sys.meta_path`` has for a module, or None."""
    others = (other for other in sys.meta_path if other is not finder and hasattr(other, "find_spec"))
    return next((found for other in others if (found := other.find_spec(fullname, path, target))), None)
