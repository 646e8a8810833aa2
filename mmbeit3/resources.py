"""Finding what comes with the package without being Python of it: the configs, the tools, the model zoo's index."""

from __future__ import annotations

from pathlib import Path

from mmbeit3.errors import UserError

__all__ = ["CONFIG_PREFIX", "config_path", "path_of"]

CONFIG_PREFIX = "mmbeit3::"
"""Before the name of a config that comes with the package, as in ``mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py``."""

_PACKAGE = Path(__file__).resolve().parent


def path_of(name: str) -> Path:
    """Where a file or folder is that comes with the package, e.g. ``configs``, ``model-index.yml`` or ``tools/train.py``.

    A wheel holds them in ``mmbeit3/.mim``, where OpenMMLab's packages have them; an editable installation reads the checkout.

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
        raise UserError(f"mmbeit3 comes with no '{name}' (there is no '{path}'): `python -m mmbeit3` lists what there is")
    return path


def config_path(config: str | Path) -> Path:
    """The file that a user means by a config: a path, or :data:`CONFIG_PREFIX` and a path below the package's ``configs``.

    Raises:
        UserError: if the package has no config of that name. Whether another path exists is not looked at.
    """
    name = str(config)
    if name.startswith(CONFIG_PREFIX):
        return path_of(f"configs/{name.removeprefix(CONFIG_PREFIX)}")
    return Path(config)
