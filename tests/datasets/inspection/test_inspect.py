"""What a folder holds: counts, classes, sizes, faults, and the contact sheet."""

import io
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from mmbeit3.datasets.inspection import inspect_folder
from mmbeit3.datasets.inspection.files import MANY
from mmbeit3.datasets.inspection.sheet import draw_sheet
from mmbeit3.datasets.inspection.show import WIDTH, show_report
from mmbeit3.datasets.progress import show_progress
from mmbeit3.errors import UserError
from mmbeit3.terminal import quiet_terminal
from tests.datasets.checks.made import CLASSES
from tests.datasets.folders import HEIGHT, coco_folder, label_folder, write_image
from tests.datasets.folders import WIDTH as IMAGE_WIDTH
from tests.paths import shared


def split_of(report, name):
    return next(split for split in report.splits if split.name == name)


def test_coco_counts(tmp_path):
    report = inspect_folder(coco_folder(tmp_path, train=4, val=2))
    assert (report.kind, report.classes, report.faults, report.notes) == ("coco", CLASSES, [], [])
    train, val = report.splits
    assert (train.images, train.objects, train.with_masks, train.empty) == (4, 8, 0, 0)
    assert (val.images, val.objects) == (2, 4)
    assert {name: (count.images, count.objects) for name, count in train.classes.items()} == {
        "red": (4, 4),
        "green": (2, 2),
        "blue": (2, 2),
    }
    assert train.sizes.tolist() == [[IMAGE_WIDTH, HEIGHT]] * 4
    np.testing.assert_allclose(train.object_sides, np.sqrt(600))
    assert report.advice == f"python tools/train.py configs/mine/detection.py --cfg-options recipe.data={tmp_path}"


def test_masks_lead_to_the_instance_recipe(tmp_path):
    report = inspect_folder(coco_folder(tmp_path, masks=True))
    assert "configs/mine/instance.py" in report.advice
    assert split_of(report, "train").with_masks == 8


def test_images_without_objects_and_unused_ones(tmp_path):
    root = coco_folder(tmp_path)
    content = json.loads((root / "train.json").read_text())
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] > 1]
    (root / "train.json").write_text(json.dumps(content))
    write_image(root / "images" / "other.jpg", 99)
    # The same content under two names, both of which are used.
    shutil.copy(root / "images" / "1.jpg", root / "images" / "2.jpg")
    report = inspect_folder(root)
    assert split_of(report, "train").empty == 1
    assert report.notes == ["1 images are in no annotation file, such as 'other.jpg': they are not used"]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda root: (root / "images" / "0.jpg").unlink(), "train: image '{}/images/0.jpg' does not exist"),
        (lambda root: (root / "images" / "0.jpg").write_bytes(b"no image"), "train: image '{}/images/0.jpg' "),
        (
            lambda root: (root / "images" / "0.jpg").write_bytes((root / "images" / "0.jpg").read_bytes()[:-200]),
            "train: image '{}/images/0.jpg' is truncated",
        ),
        (lambda root: write_image(root / "images" / "0.jpg", 0, (32, 32)), "0.jpg' is 32 x 32 pixels"),
        (
            lambda root: shutil.copy(root / "images" / "0.jpg", root / "images" / "5.jpg"),
            "1 images are in train and in val, such as '5.jpg' = '0.jpg'",
        ),
        (lambda root: (root / "val.json").write_text("{"), "'{}/val.json'"),
    ],
)
def test_faults_are_one_line_each(tmp_path, damage, fault):
    root = coco_folder(tmp_path)
    damage(root)
    report = inspect_folder(root)
    assert len(report.faults) == 1
    assert fault.format(root) in report.faults[0]
    assert "\n" not in report.faults[0]


@pytest.mark.parametrize("first", [0, 1])
def test_label_counts(tmp_path, first):
    report = inspect_folder(label_folder(tmp_path, train=3, val=2, first=first))
    assert (report.kind, report.classes, report.faults, report.notes) == ("labels", CLASSES, [], [])
    assert report.reduce_zero_label == bool(first)
    train = split_of(report, "train")
    third = HEIGHT // 3 * IMAGE_WIDTH
    # The first row is unlabelled.
    assert [count.objects for count in train.classes.values()] == [3 * (third - IMAGE_WIDTH), 3 * third, 3 * third]
    assert [count.images for count in train.classes.values()] == [3, 3, 3]
    assert train.ignored == 3 * IMAGE_WIDTH
    assert "configs/mine/semantic.py" in report.advice


def test_faults_of_label_images(tmp_path):
    root = label_folder(tmp_path, train=4)
    labels = root / "labels" / "train"
    (labels / "0.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(labels / "1.png")
    (labels / "2.png").unlink()
    wrong = np.full((HEIGHT, IMAGE_WIDTH), 9, np.uint8)
    wrong[0] = 0
    Image.fromarray(wrong).save(labels / "3.png")
    faults = "\n".join(inspect_folder(root).faults)
    assert faults.count("\n") == 3
    for part in ("no label image, such as '2.jpg'", "0.png'", "1.png'", "have the numbers 9, but the 3 classes are 0 to 2"):
        assert part in faults


def test_class_folders_and_images_alone(tmp_path):
    for number, part in enumerate(("train/cat", "train/dog", "val/cat")):
        write_image(tmp_path / "pets" / part / "a.jpg", number)
    report = inspect_folder(tmp_path / "pets")
    assert (report.kind, report.classes) == ("classes", ("cat", "dog"))
    assert report.faults == ["val has no folder 'dog': give all splits the same folders"]
    write_image(tmp_path / "photos" / "a.jpg", 0)
    report = inspect_folder(tmp_path / "photos")
    assert (report.kind, report.splits[0].images) == ("images", 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no images and no annotations"):
        inspect_folder(tmp_path / "empty")


def test_data_that_are_not_split_name_the_command(tmp_path):
    root = coco_folder(tmp_path, unsplit=True)
    report = inspect_folder(root)
    assert [split.name for split in report.splits] == ["all.json"]
    assert report.advice == f"python tools/prepare_data.py --split {root}"


@pytest.mark.parametrize(("kind", "least"), [("boxes", 0.01), ("masks", 0.05), ("labels", 0.2)])
def test_the_sheet_shows_the_truth(tmp_path, kind, least):
    root = label_folder(tmp_path) if kind == "labels" else coco_folder(tmp_path, masks=kind == "masks")
    report = inspect_folder(root, examples=6)
    assert draw_sheet(report, tmp_path / "sheet.png") == 6
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    for split in report.splits:
        for example in split.examples:
            example.boxes, example.segmentations, example.label_image = np.zeros((0, 4)), [], None
    assert draw_sheet(report, tmp_path / "plain.png") == 6
    plain = cv2.imread(str(tmp_path / "plain.png"))
    assert sheet.shape[1] == plain.shape[1]
    height = min(len(sheet), len(plain))
    assert (sheet[:height] != plain[:height]).any(2).mean() > least


def test_a_sheet_without_broken_images(tmp_path):
    root = coco_folder(tmp_path)
    (root / "images" / "0.jpg").write_bytes(b"")
    assert draw_sheet(inspect_folder(root), tmp_path / "sheet.png") == 5


def test_the_sheet_has_24_images_of_both_splits(tmp_path):
    report = inspect_folder(coco_folder(tmp_path, train=30, val=10), examples=24)
    assert [len(split.examples) for split in report.splits] == [16, 8]


@pytest.mark.parametrize("make", [coco_folder, label_folder])
def test_the_text_fits_a_terminal(tmp_path, make):
    report = inspect_folder(make(tmp_path))
    text = show_report(report)
    assert all(name in text for name in CLASSES)
    # The path of the folder may be long.
    assert max(map(len, text.splitlines()[1:])) <= WIDTH


@pytest.mark.parametrize(("count", "terminal", "shown"), [(1000, True, True), (999, True, False), (1000, False, False)])
def test_many_files_have_a_progress_bar(count, terminal, shown, monkeypatch):
    class Stream(io.StringIO):
        def isatty(self):
            return terminal

    stream = Stream()
    monkeypatch.setattr("sys.stdout", stream)
    with quiet_terminal():
        assert list(show_progress(range(count), "images of train", MANY)) == list(range(count))
    assert ("images of train" in stream.getvalue()) == shown


def test_real_data():
    report = inspect_folder(shared("real", "bccd"))
    assert (report.kind, report.faults) == ("coco", [])
    assert [split.images for split in report.splits] == [205, 87]
    assert sum(split.objects for split in report.splits) == 3941
    assert "205" in show_report(report)
