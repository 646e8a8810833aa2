"""Complete a recipe: from a folder of data, a task and the size of the ViT to a plain config of mmdet or mmseg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from mmbeit3.errors import UserError, list_first
from mmbeit3.recipes.arch import set_arch
from mmbeit3.recipes.data import RecipeData, read_recipe_data
from mmbeit3.recipes.schedule import Schedule, plan
from mmbeit3.resources import path_of

__all__ = ["DEFAULTS", "resolve_recipe"]

DEFAULTS: dict[str, Any] = {
    "task": "detection",
    "data": "data/mine",
    "arch": "tiny",
    "image_size": 640,
    "epochs": None,
    "batch_size": None,
    "pretrained": None,
    "classes": None,
    "reduce_zero_label": None,
}
"""Settings of a recipe with their default values, see ``docs/own-data.md``."""

_TASKS = ("detection", "instance", "semantic")
_ARCHS = ("tiny", "base", "large")
_PLACEHOLDER = "mmbeit3.UnresolvedRecipe"
_BATCH_SIZE = 2
_ONLY_INHERITED = ("train_pipeline", "test_pipeline", "boxes", "crop_size", "norm_cfg", "head", "backend_args", "dataset_type")
"""Variables of the files in ``configs/_base_`` that the complete config repeats where they are used."""


def resolve_recipe(cfg: Config) -> Config:
    """Return the complete config of a recipe. Other settings of the config change it, as in a child config.

    Args:
        cfg: a config with ``recipe=dict(task=..., data=...)``, see :data:`DEFAULTS`; it is not changed.

    Raises:
        UserError: for an unknown setting or value, or data that do not fit the task.
    """
    recipe = _check(cfg.recipe)
    task, arch, size = recipe["task"], recipe["arch"], recipe["image_size"]
    data = read_recipe_data(task, str(recipe["data"]), recipe["classes"], recipe["reduce_zero_label"])
    full = Config.fromfile(path_of(f"configs/_base_/recipes/{task}.py"))
    for name in _ONLY_INHERITED:
        full.pop(name, None)
    set_arch(full, arch)
    if arch == "tiny":
        _merge_small_parts(full, task)
    _set_weights(full, arch, recipe["pretrained"])
    full.model.backbone.vit.image_size = size
    _set_sizes(full, size)
    _set_data(full, data)
    _set_num_classes(full.model, len(data.classes))
    batch_size = recipe["batch_size"] or _BATCH_SIZE
    full.train_dataloader.batch_size = batch_size
    drop_last = full.train_dataloader.get("drop_last", False)
    if drop_last and data.train_images < batch_size:
        raise UserError(
            f"'{recipe['data']}' has too few training images for a batch: {data.train_images}, and the {task} recipe trains "
            f"only on whole batches, of {batch_size}: add images, or set recipe.batch_size (at least 2)"
        )
    _set_schedule(full, plan(data.train_images, batch_size, recipe["epochs"], drop_last))
    changes = cfg.to_dict()
    changes.pop("recipe")
    changes.pop("custom_imports", None)
    if isinstance(changes.get("model"), dict) and changes["model"].get("type") == _PLACEHOLDER:
        changes["model"].pop("type")
    full.merge_from_dict(changes)
    return Config(full.to_dict(), filename=cfg.filename)


def _check(given: Any) -> dict[str, Any]:
    """Return a recipe's settings with defaults for missing ones."""
    if not isinstance(given, Mapping):
        raise UserError(f"recipe is a {type(given).__name__}: write recipe=dict(data='data/mine', ...)")
    if unknown := sorted(set(given) - set(DEFAULTS)):
        raise UserError(f"recipe has no setting '{unknown[0]}': choose from {', '.join(DEFAULTS)}")
    recipe = {**DEFAULTS, **given}
    for key, known in (("task", _TASKS), ("arch", _ARCHS)):
        if recipe[key] not in known:
            raise UserError(f"recipe.{key} is {recipe[key]!r}: choose one of {list_first(known)}")
    for key in ("image_size", "epochs", "batch_size"):
        value = recipe[key]
        if value is None and key != "image_size":
            continue
        if type(value) is not int or value < 1 or (key == "image_size" and value % 32):
            rule = "a multiple of 32, in pixels, such as 640" if key == "image_size" else "a whole number of at least 1"
            raise UserError(f"recipe.{key} is {value!r}: give {rule}")
    if recipe["pretrained"] is True and recipe["arch"] == "tiny":
        raise UserError("recipe.pretrained=True needs released weights, which arch='tiny' does not have: use arch='base'")
    return recipe


def _merge_small_parts(full: Config, task: str) -> None:
    name = "tiny_segmentor" if task == "semantic" else "tiny_rcnn"
    small = Config.fromfile(path_of(f"configs/_base_/recipes/{name}.py")).to_dict()
    small.pop("norm_cfg", None)
    masks = small.pop("masks", {})
    if task == "instance":
        small["model"]["roi_head"].update(masks)
    full.merge_from_dict(small)


def _set_weights(full: Config, arch: str, pretrained: Any) -> None:
    """Set the ViT's initial weights: None means the released ones if there are any, a text names a file or URL."""
    vit = full.model.backbone.vit
    if isinstance(pretrained, str):
        vit.init_cfg = {"type": "Pretrained", "checkpoint": pretrained}
    elif pretrained is False or (pretrained is None and arch == "tiny"):
        vit.pop("init_cfg", None)


def _set_sizes(full: Config, size: int) -> None:
    """Set the sizes in the pipelines."""
    for split in ("train", "val", "test"):
        for step in full[f"{split}_dataloader"].dataset.pipeline:
            for key in ("scale", "crop_size"):
                if key in step:
                    step[key] = (size, size)


def _set_data(full: Config, data: RecipeData) -> None:
    full.data_root = data.datasets["train"]["data_root"]
    for split, source in (("train", "train"), ("val", "val"), ("test", "val")):
        full[f"{split}_dataloader"].dataset.update(data.datasets[source], metainfo={"classes": data.classes})
        if split != "train" and data.ann_files:
            full[f"{split}_evaluator"].ann_file = data.ann_files[source]


def _set_num_classes(part: Any, count: int) -> None:
    """Set ``num_classes`` wherever a model's config has it."""
    if isinstance(part, ConfigDict):
        if "num_classes" in part:
            part.num_classes = count
        for value in part.values():
            _set_num_classes(value, count)
    elif isinstance(part, list | tuple):
        for value in part:
            _set_num_classes(value, count)


def _set_schedule(full: Config, schedule: Schedule) -> None:
    full.train_cfg.update(max_epochs=schedule.epochs, val_interval=schedule.val_interval)
    warmup, decay = full.param_scheduler
    if schedule.warmup:
        warmup.end = schedule.warmup
    else:
        # It stays in the list, so that settings such as param_scheduler.1.eta_min mean the same for all data.
        warmup.update(start_factor=1.0, end=1)
    decay.end = decay.T_max = schedule.epochs
    full.default_hooks.checkpoint.interval = schedule.val_interval
