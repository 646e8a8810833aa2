"""Find installed versions of other packages by import name, whichever distribution provides them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

__all__ = ["MMCV_EXTENSION", "Installed", "find_installed"]

MMCV_EXTENSION = "mmcv._ext"
"""Import name of mmcv's compiled ops."""

_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain"),
}
"""Import names and the distributions that may provide them, the maintained forks first."""


class Installed(NamedTuple):
    """A distribution and its version."""

    distribution: str
    version: str


def find_installed(package: str) -> Installed | None:
    """Return the installed distribution that provides a package, or None.

    Args:
        package: its import name.
    """
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return Installed(name, version(name))
        except PackageNotFoundError:
            continue
    return None
