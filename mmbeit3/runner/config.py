"""Read a config file, with the settings of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmbeit3.errors import UserError, one_line
from mmbeit3.extras import explain
from mmbeit3.resources import config_path

__all__ = ["read_config", "use_tta"]


def read_config(path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config file and apply what the command line changes.

    Args:
        path: the file, or ``mmbeit3::`` and a path below the package's configs.
        options: values by dotted names, as in ``--cfg-options``.
        work_dir: folder for results. Default: the config's ``work_dir``, or ``work_dirs/`` and the file's name.

    Raises:
        UserError: if the file does not exist, is not a config, or inherits from a package that is not installed.
    """
    path = config_path(path)
    if not path.is_file():
        raise UserError(f"config '{path}' does not exist")
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"config '{path}' cannot be read ({type(error).__name__}: {one_line(error)})") from error
    except ImportError as error:
        # MMEngine imports packages that the config inherits from or lists in custom_imports.
        raise UserError(
            f"config '{path}' needs a package that is not installed: {explain(error) or one_line(error)}; "
            "pip install 'mmbeit3[all]' installs everything that the configs of mmbeit3 need"
        ) from error
    if options:
        try:
            cfg.merge_from_dict(dict(options))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise UserError(
                f"--cfg-options do not match config '{path}': {one_line(error)}; use settings of this config"
            ) from error
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / path.stem)
    return cfg


def use_tta(cfg: Config) -> None:
    """Enable the test-time augmentation of a config, in place.

    Raises:
        UserError: if the config defines none.
    """
    if "tta_model" not in cfg or "tta_pipeline" not in cfg:
        raise UserError("--tta needs tta_model and tta_pipeline, which the config does not have")
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
