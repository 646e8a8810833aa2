"""Records in image files and in lines of text files."""

import json
import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import ImageFolder, ImageList, PairFiles, RecordSource, TextFiles, open_records
from tests.pretrain.data.example_records import encoded, picture


def test_names_that_are_not_utf8(tmp_path, caplog):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / f"{name}.png").write_bytes(encoded(3))
    (tmp_path / f"{name} broken.png").touch()
    with caplog.at_level(logging.WARNING):
        records = list(RecordSource(open_records("images", tmp_path)))
    assert [record["key"] for record in records] == [f"{name}.png"]
    assert "skipped 'caf? broken.png' of" in caplog.text


def test_images(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name, suffix in (("a.PNG", ".png"), ("deep/b.webp", ".webp"), ("deep/er/c.jpeg", ".jpg")):
        (tmp_path / name).write_bytes(encoded(3, suffix))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "png").write_text("no image either")
    (tmp_path / "deep" / "._b.webp").write_text("macOS's")
    (tmp_path / "deep" / "round").symlink_to(tmp_path)
    records = {record["key"]: record for record in RecordSource(open_records("images", tmp_path))}
    assert sorted(records) == ["a.PNG", "deep/b.webp", "deep/er/c.jpeg"]
    for record in records.values():
        assert record["image"].dtype == np.uint8
        assert "text" not in record
        np.testing.assert_allclose(record["image"].astype(int), picture(3), atol=12)
    np.testing.assert_array_equal(records["a.PNG"]["image"], picture(3))


@pytest.mark.parametrize("value", [np.full((4, 6), 0x8000, np.uint16), np.full((4, 6), 128, np.uint8)])
def test_grey_images_become_rgb(tmp_path, value):
    cv2.imwrite(str(tmp_path / "grey.png"), value)
    (record,) = RecordSource(ImageFolder(tmp_path))
    assert record["image"].shape == (4, 6, 3)
    assert (record["image"] == 128).all()


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(1)).save(tmp_path / "turned.jpg", exif=exif)
    (record,) = RecordSource(ImageFolder(tmp_path))
    assert record["image"].shape == (7, 5, 3)


def test_pairs(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "lists").mkdir()
    lines = []
    for index in range(3):
        (tmp_path / "images" / f"{index}.png").write_bytes(encoded(index))
        lines.append(json.dumps({"image": f"../images/{index}.png", "text": f"text {index}"}))
    (tmp_path / "lists" / "pairs.jsonl").write_text("\n".join(lines))
    records = open_records("pairs", tmp_path / "lists" / "pairs.jsonl")
    assert isinstance(records, PairFiles)
    for record in RecordSource(records):
        index = int(record["text"].split()[1])
        assert record["key"] == f"pairs.jsonl:{index + 1}"
        np.testing.assert_array_equal(record["image"], picture(index))


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Übung\n".encode("latin-1"))
    (tmp_path / "wide.txt").write_bytes("text\n".encode("utf-16-le"))
    for name in ("latin.txt", "wide.txt"):
        with pytest.raises(UserError, match=f"'{name}:1' of .*not UTF-8"):
            list(RecordSource(TextFiles(tmp_path / name), max_errors=0))


@pytest.fixture
def two_folders(tmp_path):
    """Folders ``a`` (images 0 to 3) and ``b`` (images 4 and 5), and lists of some of their images."""
    for index in range(6):
        folder = tmp_path / ("a" if index < 4 else "b") / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.png").write_bytes(encoded(index))
    coco = {"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "2.png"}], "annotations": []}
    (tmp_path / "a" / "train.json").write_text(json.dumps(coco))
    (tmp_path / "a" / "list.txt").write_text("images/3.png\n\n  images/1.png  \n", encoding="utf-8-sig")
    return tmp_path


def indices(records):
    """Return the indices of the pictures that records contain."""
    return sorted(int(record["image"][0, 0, 0]) // 10 for record in RecordSource(records))


def test_lists_of_images(two_folders):
    coco = two_folders / "a" / "train.json"
    folder = two_folders / "a" / "images"
    assert indices(open_records("images", {"list": coco, "folder": folder})) == [0, 2]
    assert indices(open_records("images", two_folders / "a" / "list.txt")) == [1, 3]
    # Several paths are one collection.
    joined = open_records("images", [{"list": coco, "folder": folder}, str(two_folders / "b"), two_folders / "a" / "list.txt"])
    assert len(joined) == 6
    assert indices(joined) == [0, 1, 2, 3, 4, 5]
    assert [joined.record_at(index).key for index in range(6)] == [
        *("0.png", "2.png"),
        *("images/4.png", "images/5.png"),
        *("images/3.png", "images/1.png"),
    ]
    # Resuming finds that the data changed.
    assert joined.fingerprint != open_records("images", [str(two_folders / "b"), {"list": coco, "folder": folder}]).fingerprint


def test_a_missing_image_of_a_list_is_named(two_folders):
    (two_folders / "a" / "list.txt").write_text("images/9.png\n")
    with pytest.raises(UserError, match=r"images/9\.png.*does not exist"):
        list(RecordSource(ImageList(two_folders / "a" / "list.txt"), max_errors=0))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("l.txt", "\n \n", "has no image"),
        ("l.json", '{"images": []}', "has no image"),
        ("l.json", '{"images": {}}', "not a COCO file"),
        ("l.json", '{"images": [{"file_name": "a.jpg"}, {"id": 2}]}', "image number 2 has no 'file_name'"),
        ("l.csv", "a.jpg", r"ends in \.txt or \.json"),
    ],
)
def test_unusable_lists(tmp_path, name, content, match):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=match):
        ImageList(tmp_path / name)


def test_lists_and_folders_that_do_not_exist(two_folders):
    with pytest.raises(UserError, match=r"list of images .*gone\.json' does not exist"):
        open_records("images", two_folders / "gone.json")
    with pytest.raises(UserError, match=r"image folder .*gone' does not exist"):
        open_records("images", {"list": two_folders / "a" / "train.json", "folder": two_folders / "gone"})
    with pytest.raises(UserError, match=r"dict\(list=FILE, folder=FOLDER\), got"):
        open_records("images", {"list": two_folders / "a" / "train.json"})
    with pytest.raises(UserError, match="is for images only"):
        open_records("texts", {"list": "a.txt", "folder": "b"})
    with pytest.raises(UserError, match="is refused"):
        open_records("images", {"list": "pipe:touch x.txt", "folder": "."})
    with pytest.raises(UserError, match="cannot be mixed"):
        open_records("images", ["a.tar", {"list": "a.txt", "folder": "b"}])
