"""Records in image files and in lines of text files."""

import json
import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import ImageFolder, PairFiles, RecordSource, TextFiles, open_records
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
