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
    """Read a config file, apply what the command line changes, and complete recipes.

    ``recipe`` (see :func:`~mmbeit3.recipes.resolve_recipe`) and ``model.arch`` (see :func:`~mmbeit3.recipes.set_arch`) are
    replaced by what they stand for. Options that set them apply first, all others to the complete config.

    Args:
        path: the file, or ``mmbeit3::`` and a path below the package's configs.
        options: values by dotted names, as in ``--cfg-options``.
        work_dir: folder for results. Default: the config's ``work_dir``, or ``work_dirs/`` and the file's name.

    Raises:
        UserError: if the file does not exist, is not a config, or inherits from a package that is not installed; if options do
            not match it; or if a recipe cannot be completed.
    """
    path = config_path(path)
    if not path.is_file():
        raise UserError(f"config '{path}' does not exist")
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, TypeError, ValueError, OSError, AssertionError) as error:
        raise UserError(f"config '{path}' cannot be read ({type(error).__name__}: {one_line(error)})") from error
    except ImportError as error:
        # MMEngine imports packages that the config inherits from or lists in custom_imports.
        raise UserError(
            f"config '{path}' needs a package that is not installed: {explain(error) or one_line(error)}; "
            "pip install 'mmbeit3[all]' installs everything that the configs of mmbeit3 need"
        ) from error
    early = {name: value for name, value in (options or {}).items() if _is_early(name)}
    if early and "recipe" not in cfg and any(name.split(".")[0] == "recipe" for name in early):
        raise UserError(
            f"--cfg-options: config '{path}' is not a recipe: those of configs/mine have recipe.data and recipe.arch"
        )
    _apply(cfg, early, path)
    cfg = _complete(cfg)
    _apply(cfg, {name: value for name, value in (options or {}).items() if name not in early}, path)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / path.stem)
    return cfg


def _is_early(name: str) -> bool:
    """Return True for options that choose how a config is completed."""
    return name == "model.arch" or name.split(".")[0] == "recipe"


def _apply(cfg: Config, options: Mapping[str, Any], path: Path) -> None:
    """Apply options of the command line to a config, in place."""
    if not options:
        return
    try:
        cfg.merge_from_dict(dict(options))
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"--cfg-options do not match config '{path}': {one_line(error)}; use settings of this config"
        ) from error


def _complete(cfg: Config) -> Config:
    """Replace a recipe by the config that it describes, and ``model.arch`` by the settings of that size."""
    # OpenMMLab is imported only for configs that need it.
    if "recipe" in cfg:
        from mmbeit3.recipes import resolve_recipe

        return resolve_recipe(cfg)
    model = cfg.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("arch"), str) and "backbone" in model:
        from mmbeit3.recipes import set_arch

        set_arch(cfg, cfg.model.pop("arch"))
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
