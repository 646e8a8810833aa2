"""Run code when a module of another package is imported, so that preparing it does not import it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["WrappingFinder", "WrappingLoader", "after_import"]

_callbacks: dict[str, Callable[[], None]] = {}


class WrappingFinder(MetaPathFinder):
    """Finder that asks all other finders for the modules that it :meth:`wants`, and wraps their loader by :attr:`wrapper`."""

    wrapper: type[WrappingLoader]

    def wants(self, fullname: str) -> bool:
        """Return True if the loader of a module is to be wrapped."""
        raise NotImplementedError

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module by the first other finder of ``sys.meta_path`` that has it."""
        if not self.wants(fullname):
            return None
        others = (other for other in sys.meta_path if other is not self and hasattr(other, "find_spec"))
        spec = next((found for other in others if (found := other.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader = self.wrapper(spec.loader)
        return spec

    @classmethod
    def install(cls) -> None:
        """Put the finder before all others. Repeated calls have no effect."""
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())


class WrappingLoader(Loader):
    """Loader that leaves everything to another one; subclasses define ``exec_module``.

    Args:
        loader: the other loader.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module."""
        return self.loader.create_module(spec)


class _CallingLoader(WrappingLoader):
    """Loader that calls the callback of a module after it has executed the module."""

    def exec_module(self, module: ModuleType) -> None:
        # Other code that looks at the module must find its own loader.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if callback := _callbacks.pop(module.__name__, None):
            callback()


class _Finder(WrappingFinder):
    """Finder of the modules with a callback."""

    wrapper = _CallingLoader

    def wants(self, fullname: str) -> bool:
        return fullname in _callbacks


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
    _Finder.install()
