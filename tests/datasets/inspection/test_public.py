"""Copies of public data sets: what is checked, and what is only noted."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmbeit3.datasets.inspection import inspect_folder
from mmbeit3.datasets.public import PUBLIC
from tests.configs.tiny import lay_out_data


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """Folder with small copies of all of them, as the tests of the configs train on."""
    folder = tmp_path_factory.mktemp("public")
    lay_out_data(folder)
    return folder


@pytest.fixture
def copy_of(laid_out, tmp_path):
    """Copy a small data set; returns its folder."""

    def copying(name):
        return shutil.copytree(laid_out / PUBLIC[name].folder, tmp_path / PUBLIC[name].folder)

    return copying


@pytest.mark.parametrize("name", PUBLIC)
def test_a_complete_copy_has_no_faults(name, copy_of, tmp_path, monkeypatch):
    data, root = PUBLIC[name], copy_of(name)
    report = inspect_folder(root)
    assert report.faults == []
    assert report.notes == [
        f"checked as a copy of {data.title}, as {data.config} reads it",
        f"train is a subset of {data.title}: 4 of {data.images['train']:,} images",
        f"val is a subset of {data.title}: 2 of {data.images['val']:,} images",
    ]
    assert len(report.classes) == data.classes
    assert sum(count.objects for split in report.splits for count in split.classes.values()) > 0
    assert report.advice.startswith(f"link or move the folder to {data.folder}, ")
    monkeypatch.chdir(tmp_path)
    assert inspect_folder(data.folder).advice == f"python tools/train.py {data.config}"


def test_a_missing_split_is_one_fault(copy_of):
    root = copy_of("coco")
    shutil.rmtree(root / "val2017")
    report = inspect_folder(root)
    (fault,) = report.faults
    assert fault.startswith(f"'{root}/val2017' does not exist, which configs/coco/")
    assert fault.endswith("download val2017.zip from https://cocodataset.org/#download and unpack it into data/coco")
    assert [split.name for split in report.splits] == ["train"]


def test_stuff_that_is_not_converted(copy_of):
    root = copy_of("coco_stuff164k")
    for path in (root / "annotations").rglob("*.png"):
        path.rename(path.with_name(path.name.replace("_labelTrainIds", "")))
    faults = inspect_folder(root, name="coco_stuff164k").faults
    assert len(faults) == 2
    for split, fault in zip(("train", "val"), faults, strict=True):
        assert fault.startswith(f"'{root}/annotations/{split}2017' has no *_labelTrainIds.png, which configs/coco_stuff164k/")
        assert fault.endswith("then convert it with mmseg's tools/dataset_converters/coco_stuff164k.py")


def test_originals_beside_converted_labels_are_no_fault(copy_of):
    root = copy_of("coco_stuff164k")
    for path in list((root / "annotations").rglob("*.png")):
        shutil.copy(path, path.with_name(path.name.replace("_labelTrainIds", "")))
    assert inspect_folder(root).faults == []


def test_labels_of_another_data_set(copy_of):
    root = copy_of("ade20k")
    path = min((root / "annotations" / "training").glob("*.png"))
    values = np.array(Image.open(path))
    values[:4] = 151
    Image.fromarray(values).save(path)
    (fault,) = inspect_folder(root).faults
    assert fault == (
        f"label images have the numbers 151, but the 150 classes are 1 to 150; the first is '{path}' with 151: download or "
        "convert them again"
    )


def test_names_of_images_in_objects365(copy_of):
    """The published file names images from the archive's root, and some that do not exist."""
    root = copy_of("objects365")
    path = root / "annotations" / "zhiyuan_objv2_train.json"
    content = json.loads(path.read_text())
    (root / "train" / "patch6").mkdir()
    for one in content["images"]:
        (root / "train" / one["file_name"]).rename(root / "train" / "patch6" / one["file_name"])
        one["file_name"] = f"images/v1/patch6/{one['file_name']}"
    content["images"].append({**content["images"][0], "id": 99, "file_name": "images/v1/patch6/objects365_v1_00320532.jpg"})
    path.write_text(json.dumps(content))
    report = inspect_folder(root)
    assert report.faults == []
    assert report.splits[0].images == 4
    (root / "train" / content["images"][0]["file_name"].split("/", 2)[2]).unlink()
    (fault,) = inspect_folder(root).faults
    assert f"{root}/train/patch6/" in fault
    assert "does not exist" in fault


def test_panoptic_label_images(copy_of):
    root = copy_of("coco")
    gone = min((root / "annotations" / "panoptic_val2017").glob("*.png"))
    gone.unlink()
    (fault,) = inspect_folder(root).faults
    assert fault == (
        f"'{root}/annotations/panoptic_val2017.json' names 1 label images that do not exist, such as '{gone}': unpack "
        "panoptic_val2017.zip again"
    )


def test_another_number_of_classes_and_images_is_noted(copy_of, monkeypatch):
    root = copy_of("coco")
    monkeypatch.setitem(PUBLIC["coco"].images, "val", 1)
    for split in ("train", "val"):
        path = root / "annotations" / f"instances_{split}2017.json"
        content = json.loads(path.read_text())
        content["categories"].append({"id": 5000, "name": "unicorn"})
        path.write_text(json.dumps(content))
    report = inspect_folder(root)
    assert report.faults == []
    assert report.notes[2:] == ["val has 2 images, COCO 2017 has 1", "the copy has 81 classes, COCO 2017 has 80"]


def test_faults_of_files_are_those_of_any_folder(copy_of):
    root = copy_of("coco")
    path = min((root / "train2017").iterdir())
    path.write_bytes(b"")
    assert inspect_folder(root).faults == [f"train: image '{path}' is empty (0 bytes): replace or remove it"]


def test_nothing_at_all(tmp_path):
    report = inspect_folder(tmp_path, name="ade20k")
    assert len(report.faults) == 4
    assert (report.splits, report.classes) == ([], ())
