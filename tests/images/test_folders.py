"""Search for image files in folders."""

import os

import pytest
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.images import IMAGE_SUFFIXES, find_images, walk_files
from mmbeit3.images.decoding import FORMATS


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_suffixes_are_those_of_the_formats():
    Image.init()
    assert {Image.EXTENSION[suffix] for suffix in IMAGE_SUFFIXES} == set(FORMATS)


def test_images_of_a_folder(tmp_path):
    shown = ["b.JPG", "a/z.png", "c.webp", "a/.b/../y.TIFF"]
    hidden = ["._b.jpg", ".c.png", ".cache/d.png", "a/._z.png", "a/notes.txt", "png", ".jpg"]
    (tmp_path / "a" / ".b").mkdir(parents=True)
    touch(tmp_path, *shown, *hidden)
    wanted = [tmp_path / name for name in ("a/y.TIFF", "a/z.png", "b.JPG", "c.webp")]
    assert find_images(tmp_path) == find_images(str(tmp_path)) == wanted
    assert sorted(walk_files(tmp_path)) == ["a/notes.txt", "a/y.TIFF", "a/z.png", "b.JPG", "c.webp", "png"]


def test_a_folder_that_is_hidden_itself(tmp_path):
    touch(tmp_path, ".cache/a.png")
    assert find_images(tmp_path / ".cache") == [tmp_path / ".cache" / "a.png"]


def test_links(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    touch(folder, "deep/a.png")
    touch(other, "b.png", "below/c.png")
    links = {"a link": other, "again": other, "deep/round": folder, "deep/itself": folder / "deep" / "itself"}
    links |= {"file.png": other / "b.png", "gone.png": other / "gone.png", "0 link": folder / "deep"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (other / "back").symlink_to(folder)
    found = sorted(walk_files(folder))
    assert found == ["a link/b.png", "a link/below/c.png", "deep/a.png", "deep/itself", "file.png", "gone.png"]
    assert find_images(folder)[-1] == folder / "gone.png"


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    touch(tmp_path, f"{name}.d/{name}")
    assert find_images(tmp_path) == [tmp_path / f"{name}.d" / name]


def test_what_is_no_folder_of_images(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"absent' does not exist: give a folder"):
        find_images(tmp_path / "absent")
    with pytest.raises(UserError, match=r"does not exist: give a folder"):
        find_images("a" * 5000)
    with pytest.raises(UserError, match=r"has no images: add files that end in .jpg, "):
        find_images(tmp_path)

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UserError, match=r"cannot be read: Permission denied"):
        find_images(tmp_path)
