"""Copies that have this package's layout already."""

import json

import pytest

from mmbeit3.datasets.prepared import prepare_dataset
from mmbeit3.datasets.prepared.index import find_known
from mmbeit3.errors import UserError
from mmbeit3.images import image_size
from tests.datasets.folders import coco_folder, label_folder
from tests.datasets.prepared.made import tar_bytes
from tests.paths import shared


def cells(root, **kwargs):
    """COCO files with BCCD's classes."""
    coco_folder(root, **kwargs)
    for split in ("train", "val"):
        path = root / f"{split}.json"
        content = json.loads(path.read_text())
        for one, name in zip(content["categories"], find_known("bccd").classes, strict=True):
            one["name"] = name
        path.write_text(json.dumps(content))
    return root


def streets(root, suffix=".jpg"):
    """Label images with CamVid's classes."""
    label_folder(root, suffix=suffix)
    (root / "classes.txt").write_text("\n".join(find_known("camvid").classes))
    return root


def test_coco_files(tmp_path):
    copy = cells(tmp_path / "copy")
    done = prepare_dataset("bccd", tmp_path / "out", copy)
    assert done.splits == {"train": 4, "val": 2}
    assert (tmp_path / "out" / "train.json").read_bytes() == (copy / "train.json").read_bytes()
    assert (tmp_path / "out" / "images" / "0.jpg").samefile(copy / "images" / "0.jpg")
    # The annotations are no links: a user may edit them.
    assert not (tmp_path / "out" / "train.json").samefile(copy / "train.json")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_label_images(tmp_path, suffix):
    copy = streets(tmp_path / "copy", suffix)
    done = prepare_dataset("camvid", tmp_path / "out", copy)
    assert done.splits == {"train": 4, "val": 2}
    for name in ("train/0", "val/4"):
        label = tmp_path / "out" / "annotations" / f"{name}.png"
        assert label.read_bytes() == (copy / "labels" / f"{name}.png").read_bytes()
        assert image_size(tmp_path / "out" / "images" / f"{name}.jpg") == image_size(label)


def test_archives_and_folders_in_folders(tmp_path):
    cells(tmp_path / "copy")
    files = {f"some/{path.relative_to(tmp_path)}": path.read_bytes() for path in (tmp_path / "copy").rglob("*.*")}
    (tmp_path / "copy.tar.gz").write_bytes(tar_bytes(files))
    assert prepare_dataset("bccd", tmp_path / "out", tmp_path / "copy.tar.gz").splits == {"train": 4, "val": 2}


def test_links_within_the_copy(tmp_path):
    copy = cells(tmp_path / "copy")
    (copy / "images" / "0.jpg").rename(tmp_path / "elsewhere.jpg")
    (copy / "images" / "0.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    prepare_dataset("bccd", tmp_path / "out", copy)
    assert not (tmp_path / "out" / "images" / "0.jpg").is_symlink()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["categories"].reverse(), "has the classes Platelets, WBC, RBC, but the data set has RBC, WBC"),
        (lambda content: content["images"][0].update(file_name="../../evil.jpg"), "not a file name inside"),
        (lambda content: content["images"][0].update(file_name="none.jpg"), "has no 'images/none.jpg': the copy is incomplete"),
        (lambda content: content.pop("images"), "not a COCO file"),
        (lambda content: content["images"][0].update(width=1), "has 5 faults|has 3 faults"),
    ],
)
def test_faulty_coco_files(tmp_path, change, message):
    copy = cells(tmp_path / "copy")
    edit(copy / "train.json", change)
    with pytest.raises(UserError, match=message):
        prepare_dataset("bccd", tmp_path / "out", copy)
    assert not (tmp_path / "out" / "source.yml").exists()


def test_faulty_label_images(tmp_path):
    copy = streets(tmp_path / "copy")
    (copy / "labels" / "val" / "4.png").unlink()
    with pytest.raises(UserError, match="2 images and 1 label images in val, and 4 in only one"):
        prepare_dataset("camvid", tmp_path / "out", copy)
    (copy / "classes.txt").write_text("sky\n")
    with pytest.raises(UserError, match="has the classes sky, but"):
        prepare_dataset("camvid", tmp_path / "out", copy)


@pytest.mark.parametrize(
    ("name", "counts", "objects"),
    [
        ("bccd", (205, 87), 3941),
        pytest.param("nuclei", (447, 75), 23244, marks=pytest.mark.slow),
        pytest.param("camvid", (367, 101), 0, marks=pytest.mark.slow),
    ],
)
def test_real_copies(tmp_path, name, counts, objects):
    done = prepare_dataset(name, tmp_path / "out", shared("real", name))
    assert tuple(done.splits.values()) == counts
    assert sum(split.objects for split in done.report.splits) == objects
    assert done.report.classes == find_known(name).classes
