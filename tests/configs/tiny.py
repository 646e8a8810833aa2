"""Shrink configs for tests: a tiny architecture, sizes in pixels divided by eight, generated data."""

import json
import shutil
from pathlib import Path

import cv2
from mmdet.datasets import CocoDataset, CocoPanopticDataset, Objects365V2Dataset

from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset

FACTOR = 8
# Channels of the recipes' heads for large models. Tests use a quarter of them, as the other recipes do.
WIDE = 1024
# Smallest model of each family that the timm configs use.
SMALL_TIMM = {
    "vit_base_patch14_reg4_dinov2": "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_dinov3": "vit_small_patch16_dinov3",
    "eva02_base_patch14_224": "eva02_tiny_patch14_224",
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2",
}


def make_tiny(cfg):
    """Shrink a config in place. Its losses, pipelines and metrics stay, and of its heads all but the number of channels."""
    backbone = cfg.model.backbone
    vit = backbone.get("vit", backbone)
    for key in ("init_cfg", "checkpoint"):
        vit.pop(key, None)
    for part in (vit, backbone):
        # No stochastic depth, so that every parameter must change.
        part.update({"drop_path_rate": 0.0} if "drop_path_rate" in part else {})
    if vit.type == "mmbeit3.TimmViT":
        old = 384 if "_small_" in vit.model_name else 768
        vit.update(model_name=SMALL_TIMM[vit.model_name.split(".")[0]], pretrained=False)
        width, layers = (192, 12) if "tiny" in vit.model_name else (384, 12)
    else:
        old = {"base": 768, "large": 1024, "giant": 1408, "tiny": 192}[vit.arch]
        vit.arch = {"base": "tiny", "patch_size": 14} if vit.arch == "giant" else "tiny"
        width, layers = 192, 8
        if "global_indices" in vit:
            vit.global_indices = (3, 7)
    if "image_size" in vit:
        vit.image_size //= FACTOR
    if backbone is not vit:
        quarter = layers // 4
        backbone.interaction_indexes = [(i * quarter, (i + 1) * quarter - 1) for i in range(4)]
        backbone.deform_num_heads = 6
        # With 0, the reference's value, the injectors' inner weights would not change in the first step.
        backbone.init_value = 0.1
    for part in ("neck", "panoptic_head", "decode_head", "auxiliary_head"):
        part = cfg.model.get(part)
        if part:
            channels = part.in_channels
            part.in_channels = (
                [width] * len(channels) if isinstance(channels, list) else (width if channels == old else channels)
            )
    if "rpn_head" in cfg.model:
        # An untrained model has low scores, and anchors may be larger than these small images: keep both anyway.
        cfg.model.test_cfg.rcnn.score_thr = 0.0
        cfg.model.train_cfg.rpn.allowed_border = -1
        # The heads' time is proportional to the number of boxes.
        cfg.model.train_cfg.rpn_proposal.max_per_img = 40
        cfg.model.test_cfg.rpn.max_per_img = 40
        cfg.model.test_cfg.rcnn.max_per_img = 20
        stages = cfg.model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 16
    for part in (cfg.model.get("train_cfg"), cfg.model.get("decode_head", {}).get("train_cfg")):
        if part and "num_points" in part:
            part.num_points = 512
    if cfg.model.get("decode_head", {}).get("feat_channels", 0) == WIDE:
        _narrow(cfg.model.decode_head)
    _shrink(cfg.model.data_preprocessor)
    # Strides of windows may be below 200 pixels.
    _shrink(cfg.model.get("test_cfg"), least=FACTOR)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader", "tta_pipeline"):
        _shrink(cfg.get(name))
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[name].update(num_workers=0, persistent_workers=False, batch_size=2 if name.startswith("train") else 1)
    if cfg.optim_wrapper.type == "AmpOptimWrapper":
        # Automatic mixed precision needs an accelerator.
        cfg.optim_wrapper.type = "OptimWrapper"
        cfg.optim_wrapper.pop("dtype", None)
        cfg.optim_wrapper.pop("loss_scale", None)
    return cfg


def _shrink(part, least=200):
    """Divide every pair of sizes of at least ``least`` pixels inside a config."""
    if isinstance(part, dict):
        for key, value in part.items():
            part[key] = _shrink(value, least)
    elif isinstance(part, list | tuple):
        if len(part) == 2 and all(isinstance(value, int) and value >= least for value in part):
            return tuple(value // FACTOR for value in part)
        return type(part)(_shrink(value, least) for value in part)
    return part


def _narrow(part):
    """Divide the widths of a head by four."""
    if isinstance(part, dict):
        widths = ("feat_channels", "out_channels", "embed_dims", "feedforward_channels", "num_feats", "num_heads")
        part.update({key: part[key] // 4 for key in widths if key in part})
        for value in part.values():
            _narrow(value)


def lay_out_data(folder: Path):
    """Write the shapes to ``folder/data`` as COCO, Objects365, ADE20K, COCO-Stuff, BCCD, nuclei and CamVid are laid out."""
    shapes = make_shapes_dataset(folder / "data" / "shapes", train=4, val=2, size=128)
    coco = folder / "data" / "coco"
    shutil.copytree(shapes, coco)
    panoptic = CocoPanopticDataset.METAINFO
    _rename(coco, "instances", CocoDataset.METAINFO["classes"])
    _rename(coco, "panoptic", panoptic["thing_classes"], panoptic["stuff_classes"])
    shutil.copytree(coco, folder / "data" / "coco_few")
    objects = folder / "data" / "Objects365" / "Obj365_v2"
    shutil.copytree(shapes, objects)
    _rename(objects, "instances", Objects365V2Dataset.METAINFO["classes"])
    ade = folder / "data" / "ade" / "ADEChallengeData2016"
    shutil.copytree(shapes / "ade", ade)
    stuff = folder / "data" / "coco_stuff164k"
    for split, long in (("train", "training"), ("val", "validation")):
        (objects / f"{split}2017").rename(objects / split)
        (objects / "annotations" / f"instances_{split}2017.json").rename(
            objects / "annotations" / f"zhiyuan_objv2_{split}.json"
        )
        shutil.copytree(ade / "images" / long, stuff / "images" / f"{split}2017")
        (stuff / "annotations" / f"{split}2017").mkdir(parents=True)
        for label in (ade / "annotations" / long).glob("*.png"):
            # COCO-Stuff's ids start at 0, with 255 for unlabelled.
            shifted = cv2.imread(str(label), cv2.IMREAD_GRAYSCALE) - 1
            cv2.imwrite(str(stuff / "annotations" / f"{split}2017" / f"{label.stem}_labelTrainIds.png"), shifted)
    for name, classes in (("bccd", ("RBC", "WBC", "Platelets")), ("nuclei", ("nucleus",))):
        _few_classes(shapes, folder / "data" / name, classes)
    camvid = folder / "data" / "camvid"
    for split in ("train", "val"):
        shutil.copytree(stuff / "images" / f"{split}2017", camvid / "images" / split)
        (camvid / "annotations" / split).mkdir(parents=True)
        for label in (stuff / "annotations" / f"{split}2017").iterdir():
            shutil.copyfile(label, camvid / "annotations" / split / label.name.replace("_labelTrainIds", ""))


def _few_classes(shapes, folder, classes):
    """Copy the shapes as train.json, val.json and images/, with other categories in turn."""
    for split in ("train", "val"):
        shutil.copytree(shapes / f"{split}2017", folder / "images", dirs_exist_ok=True)
        content = json.loads((shapes / "annotations" / f"instances_{split}2017.json").read_text())
        content["categories"] = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
        for annotation in content["annotations"]:
            annotation["category_id"] = annotation["category_id"] % len(classes) + 1
        (folder / f"{split}.json").write_text(json.dumps(content))


def _rename(folder, kind, things, stuff=()):
    """Give the shapes' categories the first names of each kind, and add the other names in order, without objects."""
    names = {**dict(zip(THING_CLASSES, things, strict=False)), **dict(zip(STUFF_CLASSES, stuff, strict=False))}
    for split in ("train", "val"):
        path = folder / "annotations" / f"{kind}_{split}2017.json"
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category["name"] = names[category["name"]]
        for isthing, classes in ((1, things), (0, stuff)):
            for name in classes:
                if name not in names.values():
                    content["categories"].append({"id": 1000 + len(content["categories"]), "name": name, "isthing": isthing})
        order = [*things, *stuff]
        content["categories"].sort(key=lambda category: order.index(category["name"]))
        path.write_text(json.dumps(content))
