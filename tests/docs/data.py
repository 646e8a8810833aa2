"""Tiny generated data, vocabularies and weights for the examples of the docs."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import MODELS

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.runner.config import read_config
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

SIZES = {"train": 8, "val": 8}
PETS = {"circle": "cat", "square": "dog"}
PRETRAINED = Path("work_dirs/pretrain-demo/pretraining/iter_1800.pth")


def lay_out(folder: Path) -> Path:
    """Make a folder that looks like a clone, with all data that the pages name."""
    for name in ("configs", "tools", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    shapes = make_shapes_dataset(folder / "data" / "shapes", **SIZES)
    plain = make_shapes_dataset(folder / "data" / "shapes-plain", **SIZES, style="plain")
    vocabulary = train_text_tokenizer((plain / "texts_train.txt").read_text().splitlines(), plain / "texts.spm", 45)
    (folder / "checkpoints").mkdir()
    shutil.copy(vocabulary, folder / "checkpoints" / "beit3.spm")
    (folder / PRETRAINED).parent.mkdir(parents=True)
    network = read_config(ROOT / "configs" / "pretrain" / "beit3-tiny_mdm_shapes.py").model.network
    torch.save({"state_dict": BEiT3(**network).state_dict()}, folder / PRETRAINED)
    shutil.copytree(shapes / "val2017", folder / "photos")
    shutil.copy(folder / "photos" / "000000000001.jpg", folder / "photo.jpg")
    _mine(shapes, folder / "data" / "mine")
    _rooms(shapes / "ade", folder / "data" / "rooms")
    for split in ("train", "val"):
        for shape, pet in PETS.items():
            shutil.copytree(shapes / "classes" / split / shape, folder / "data" / "pets" / split / pet)
    shutil.copytree(shapes / "train2017", folder / "data" / "bikes" / "train2017")
    shutil.copytree(shapes / "val2017", folder / "data" / "bikes" / "val2017")
    pairs = "".join((shapes / f"pairs_{split}.jsonl").read_text() for split in ("train", "val"))
    (folder / "data" / "bikes" / "pairs.jsonl").write_text(pairs)
    return folder


def _mine(shapes, folder):
    """Make detection data of two classes, with the images of both splits in one folder."""
    (folder / "images").mkdir(parents=True)
    for split in ("train", "val"):
        content = json.loads((shapes / "annotations" / f"instances_{split}2017.json").read_text())
        ids = {c["id"]: number for number, c in enumerate(content["categories"]) if c["name"] in PETS}
        kept = [note for note in content["annotations"] if note["category_id"] in ids and not note["iscrowd"]]
        content["annotations"] = [{**note, "category_id": ids[note["category_id"]]} for note in kept]
        content["categories"] = [{"id": ids[c["id"]], "name": PETS[c["name"]]} for c in content["categories"] if c["id"] in ids]
        for image in content["images"]:
            name = f"{split}_{image['file_name']}"
            shutil.copy(shapes / f"{split}2017" / image["file_name"], folder / "images" / name)
            image["file_name"] = name
        (folder / f"{split}.json").write_text(json.dumps(content))


def _rooms(ade, folder):
    """Make segmentation data of three classes, numbered from 1."""
    for split, name in (("training", "train"), ("validation", "val")):
        shutil.copytree(ade / "images" / split, folder / "images" / name)
        (folder / "labels" / name).mkdir(parents=True)
        for path in (ade / "annotations" / split).iterdir():
            label = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            cv2.imwrite(str(folder / "labels" / name / path.name), np.minimum(label, 3))
    (folder / "classes.txt").write_text("floor\nwall\nother\n")


def save_weights(config: str, file: str) -> None:
    """Save weights of a config's model as training would write them."""
    torch.save({"state_dict": MODELS.build(read_config(config).model).state_dict()}, file)
