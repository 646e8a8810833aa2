"""Which versions of other packages are installed, by their import names, whatever distribution holds them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

__all__ = ["Installed", "find_installed"]

_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain"),
}
"""Import names and the distributions that may hold them where these differ, the maintained forks first."""


class Installed(NamedTuple):
    """A distribution and its version."""

    distribution: str
    version: str


def find_installed(package: str) -> Installed | None:
    """The distribution that holds a package; None if there is none.

    Args:
        package: its import name.
    """
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return Installed(name, version(name))
        except PackageNotFoundError:
            continue
    return None
