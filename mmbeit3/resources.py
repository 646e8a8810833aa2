"""Find the files that are installed with the package: configs, tools, and the indexes of models and data sets."""

from __future__ import annotations

from pathlib import Path

from mmbeit3.errors import UserError

__all__ = ["CONFIG_PREFIX", "config_path", "path_of"]

CONFIG_PREFIX = "mmbeit3::"
"""Prefix for configs of the package, as in ``mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py``."""

_PACKAGE = Path(__file__).resolve().parent


def path_of(name: str) -> Path:
    """Return the path of a file or folder of the package, e.g. ``configs``, ``model-index.yml`` or ``tools/train.py``.

    A wheel contains them in ``mmbeit3/.mim``, as OpenMMLab's packages do. An editable installation uses the clone.

    Args:
        name: path relative to the repository's root.

    Returns:
        An absolute path.

    Raises:
        UserError: if there is no such file or folder.
    """
    wheel = _PACKAGE / ".mim"
    path = (wheel if wheel.is_dir() else _PACKAGE.parent) / name
    if not path.exists():
        raise UserError(f"mmbeit3 has no '{name}' ('{path}' does not exist): `python -m mmbeit3` lists the tools and configs")
    return path


def config_path(config: str | Path) -> Path:
    """Return the path of a config given as a path, or as :data:`CONFIG_PREFIX` and a path below the package's ``configs``.

    Raises:
        UserError: if the package has no config of that name. Other paths are not checked.
    """
    name = str(config)
    if name.startswith(CONFIG_PREFIX):
        return path_of(f"configs/{name.removeprefix(CONFIG_PREFIX)}")
    return Path(config)
