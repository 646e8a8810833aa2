"""Recipes become complete configs, from the file, a child of it, or the command line."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmbeit3.datasets.checks import check_data
from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.inspection import inspect_folder
from mmbeit3.errors import UserError
from mmbeit3.runner.config import read_config
from tests.datasets.checks.made import CLASSES
from tests.datasets.folders import coco_folder, label_folder
from tests.paths import ROOT

TASKS = ("detection", "instance", "semantic")
MINE = ROOT / "configs" / "mine"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    return {
        "detection": coco_folder(root / "boxes"),
        "instance": coco_folder(root / "masks", masks=True),
        "semantic": label_folder(root / "labels", first=1),
    }


def resolve(folders, task, **options):
    return read_config(MINE / f"{task}.py", {"recipe.data": str(folders[task]), **options})


@pytest.mark.parametrize(
    ("task", "arch"),
    [("detection", "tiny"), ("detection", "large"), ("instance", "base"), ("semantic", "tiny"), ("semantic", "base")],
)
def test_the_complete_config_builds_and_fits_its_data(folders, task, arch):
    cfg = resolve(folders, task, **{"recipe.arch": arch})
    assert "recipe" not in cfg
    assert cfg.custom_imports["imports"][0] == "mmbeit3.registry"
    assert cfg.default_hooks.checkpoint.type == "mmbeit3.SafeCheckpointHook"
    check_data(cfg)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    assert model.backbone.embed_dims == {"tiny": 192, "base": 768, "large": 1024}[arch]
    vit = cfg.model.backbone.vit
    assert vit.image_size == 640
    assert ("init_cfg" in vit) == (arch != "tiny")
    assert cfg.train_dataloader.dataset.metainfo.classes == CLASSES
    assert cfg.train_cfg.max_epochs == 100
    assert cfg.param_scheduler[1].end == cfg.param_scheduler[1].T_max == 100
    assert cfg.param_scheduler[0].end == 20
    if task == "semantic":
        assert cfg.train_dataloader.dataset.reduce_zero_label
    else:
        assert (model.with_mask) == (task == "instance")


@pytest.mark.parametrize(("task", "batches"), [("detection", 3), ("instance", 3), ("semantic", 2)])
def test_the_schedule_counts_the_batches_of_the_data_loader(task, batches, tmp_path):
    """UperNet cannot train on a batch of one, the last one of an odd number of images."""
    make = label_folder if task == "semantic" else coco_folder
    root = make(tmp_path, train=5, **({"masks": True} if task == "instance" else {}))
    cfg = resolve({task: root}, task, **{"recipe.epochs": 20})
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    init_default_scope(cfg.default_scope)
    assert len(Runner.build_dataloader(cfg.train_dataloader, seed=0)) == batches
    assert cfg.param_scheduler[0].end == 20 * batches // 10


@pytest.mark.parametrize("split", ["train", "val", None])
def test_a_rare_last_class_tells_where_numbers_begin(split, tmp_path):
    """As in --check, which reads all label images."""
    root = label_folder(tmp_path, train=110, val=2)
    for path in (root / "labels").rglob("*.png"):
        Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8).repeat(48, 0).repeat(16, 1)).save(path)
    if split is not None:
        paths = sorted((root / "labels" / split).iterdir())
        # Of the training images, one that a sample does not have.
        rare = min(set(paths) - set(sample(paths, 100))) if split == "train" else paths[0]
        Image.fromarray(np.full((48, 64), 3, np.uint8)).save(rare)
    found = resolve({"semantic": root}, "semantic").train_dataloader.dataset.reduce_zero_label
    assert found == inspect_folder(root).reduce_zero_label == (split is not None)


@pytest.mark.parametrize("options", [{}, {"recipe.batch_size": 4}])
def test_less_than_a_batch_of_label_images(options, tmp_path):
    root = label_folder(tmp_path, train=3 if options else 1)
    with pytest.raises(UserError, match=r"too few training images for a batch: ., and the semantic .* set recipe.batch_size"):
        resolve({"semantic": root}, "semantic", **options)


@pytest.mark.parametrize("task", TASKS)
def test_it_trains_a_step_and_predicts(folders, task):
    cfg = resolve(folders, task, **{"recipe.image_size": 96})
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    batch = model.data_preprocessor(next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))), True)
    loss, _ = model.parse_losses(model.loss(batch["inputs"], batch["data_samples"]))
    loss.backward()
    assert torch.isfinite(loss)
    with torch.no_grad():
        batch = next(iter(Runner.build_dataloader(cfg.val_dataloader, seed=0)))
        assert len(model.eval().val_step(batch)) == 1


@pytest.mark.parametrize("task", TASKS)
def test_the_dumped_config_reads_the_same_without_a_recipe(folders, task, tmp_path):
    cfg = resolve(folders, task)
    cfg.dump(tmp_path / "dumped.py")
    plain = Config.fromfile(tmp_path / "dumped.py")
    assert plain.to_dict() == cfg.to_dict()
    again = read_config(tmp_path / "dumped.py")
    assert {**again.to_dict(), "work_dir": None} == {**cfg.to_dict(), "work_dir": None}


def test_a_child_of_three_lines(folders, tmp_path):
    child = tmp_path / "cells.py"
    child.write_text(
        f'_base_ = "{MINE / "detection.py"}"\n'
        f'recipe = dict(data="{folders["detection"]}", arch="base", epochs=9, batch_size=4)\n'
        "model = dict(backbone=dict(with_cp=True))\n"
        "optim_wrapper = dict(optimizer=dict(lr=3e-5))\n"
    )
    cfg = read_config(child, {"param_scheduler.0.end": 3, "train_dataloader.num_workers": 0})
    assert cfg.model.type == "FasterRCNN"
    assert cfg.model.backbone.vit.arch == "base"
    assert cfg.model.backbone.with_cp
    assert cfg.optim_wrapper.optimizer.lr == 3e-5
    assert cfg.optim_wrapper.optimizer.type == "AdamW"
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (9, 4)
    assert (cfg.param_scheduler[0].end, cfg.train_dataloader.num_workers) == (3, 0)
    assert cfg.work_dir == "work_dirs/cells"


def test_it_is_found_by_the_name_in_the_package(folders):
    cfg = read_config("mmbeit3::mine/detection.py", {"recipe.data": str(folders["detection"]), "recipe.image_size": 320})
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (320, 320)
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (320, 320)


@pytest.mark.parametrize("task", TASKS)
def test_another_tool_trains_nothing(task, tmp_path):
    cfg = Config.fromfile(MINE / f"{task}.py")
    cfg.work_dir = str(tmp_path)
    with pytest.raises(UserError, match=r"this config is a recipe, .* tools/train\.py"):
        MODELS.build(cfg.model)
    assert set(cfg) <= {"recipe", "model", "custom_imports", "work_dir"}


def test_the_files_have_all_settings():
    from mmbeit3.recipes.resolve import DEFAULTS

    for task in TASKS:
        recipe = Config.fromfile(MINE / f"{task}.py").recipe
        assert dict(recipe) == {**{key: DEFAULTS[key] for key in recipe}, "task": task}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"recipe.epoch": 3}, "recipe has no setting 'epoch': choose from task, data, arch"),
        ({"recipe.arch": "giant"}, "recipe.arch is 'giant': choose one of tiny, base, large"),
        ({"recipe.image_size": 500}, "recipe.image_size is 500: give a multiple of 32"),
        ({"recipe.epochs": 0}, "recipe.epochs is 0: give a whole number of at least 1"),
        ({"recipe.pretrained": True}, "needs released weights, which arch='tiny' does not have"),
        ({"recipe.data": "data/none"}, "data folder 'data/none' does not exist"),
    ],
)
def test_settings_that_it_refuses(folders, option, message):
    with pytest.raises(UserError, match=message):
        resolve(folders, "detection", **option)


def test_recipe_settings_need_a_recipe():
    config = ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py"
    with pytest.raises(UserError, match="is not a recipe"):
        read_config(config, {"recipe.data": "data/mine"})


def test_arch_of_any_adapter():
    config = ROOT / "configs" / "coco" / "mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
    cfg = read_config(config, {"model.arch": "large"})
    assert cfg.model.backbone.vit.arch == "large"
    assert "arch" not in cfg.model
    plain = Config.fromfile(config)
    plain.model.arch = "large"
    init_default_scope("mmdet")
    # Another tool, which does not know the setting, stops.
    with pytest.raises(TypeError, match="arch"):
        MODELS.build(plain.model)


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("instance", "detection", r"has boxes but no masks, .* use configs/mine/detection\.py"),
        ("semantic", "detection", r"has COCO files: use configs/mine/detection\.py"),
        ("detection", "semantic", r"has label images: use configs/mine/semantic\.py"),
    ],
)
def test_data_of_another_task_name_their_recipe(folders, task, kind, message):
    with pytest.raises(UserError, match=message):
        resolve({task: folders[kind]}, task)


def test_boxes_can_be_learned_from_masks(folders):
    check_data(resolve({"detection": folders["instance"]}, "detection"))


def test_pretrained_weights_by_file_and_without(folders):
    cfg = resolve(folders, "detection", **{"recipe.pretrained": "mine.pth"})
    assert cfg.model.backbone.vit.init_cfg.checkpoint == "mine.pth"
    cfg = resolve(folders, "detection", **{"recipe.arch": "base", "recipe.pretrained": False})
    assert "init_cfg" not in cfg.model.backbone.vit


def test_data_that_are_not_split_name_the_command(tmp_path):
    root = coco_folder(tmp_path / "one", unsplit=True)
    with pytest.raises(UserError, match=r"has all\.json, but no train\.json: `python tools/prepare_data\.py --split"):
        resolve({"detection": root}, "detection")
    root = label_folder(tmp_path / "two", split=False)
    with pytest.raises(UserError, match=r"has no images/train and no train\.txt: `python tools/prepare_data\.py --split"):
        resolve({"semantic": root}, "semantic")


def test_categories_that_differ(tmp_path):
    root = coco_folder(tmp_path)
    content = json.loads((root / "val.json").read_text())
    content["categories"][0]["name"] = "dog"
    (root / "val.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="have different categories"):
        resolve({"detection": root}, "detection")


@pytest.mark.parametrize(("first", "suffix"), [(0, ".jpg"), (1, ".png")])
def test_labels_count_from_0_or_1(tmp_path, first, suffix):
    root = label_folder(tmp_path, first=first, suffix=suffix)
    cfg = resolve({"semantic": root}, "semantic")
    check_data(cfg)
    assert cfg.train_dataloader.dataset.reduce_zero_label == bool(first)
    assert cfg.train_dataloader.dataset.img_suffix == suffix


def test_labels_without_names_of_classes(tmp_path):
    root = label_folder(tmp_path)
    (root / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"classes\.txt' does not exist: write one class name per line"):
        resolve({"semantic": root}, "semantic")
    cfg = resolve({"semantic": root}, "semantic", **{"recipe.classes": ["a", "b", "c"]})
    assert cfg.model.decode_head.num_classes == 3
    (root / "classes.txt").write_text("a\nb\nc\n", encoding="utf-8-sig")
    cfg = resolve({"semantic": root}, "semantic")
    assert cfg.train_dataloader.dataset.metainfo.classes == ("a", "b", "c")
    (root / "classes.txt").write_text("a\nb\nc\nd\n")
    for path in (root / "labels").rglob("*.png"):
        labels = np.array(Image.open(path))
        labels[labels == 0] = 1
        Image.fromarray(labels).save(path)
    with pytest.raises(UserError, match="neither the number 0 nor 4"):
        resolve({"semantic": root}, "semantic")


def test_images_of_two_suffixes(tmp_path):
    root = label_folder(tmp_path)
    (root / "images" / "train" / "0.jpg").rename(root / "images" / "train" / "0.png")
    with pytest.raises(UserError, match=r"images of several suffixes \(3 \.jpg, 1 \.png\)"):
        resolve({"semantic": root}, "semantic")
