"""All inputs for an image give the same pixels, and errors name the input."""

import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.images import read_image, read_pixels, write_image
from tests.downloads.server import Served, Server

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
LATIN = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def path(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), PIXELS)
    return tmp_path / "0.png"


def test_kinds_of_images(path, server):
    server.files["/a.png"] = Served(path.read_bytes())
    for image in (path, str(path), server.address("/a.png"), PIXELS, Image.open(path)):
        found = read_pixels(image)
        assert found.dtype == np.uint8
        assert np.array_equal(found, PIXELS), type(image)
    with_alpha = Image.fromarray(PIXELS[..., ::-1].copy()).convert("RGBA")
    assert np.array_equal(read_pixels(with_alpha), PIXELS)


def test_arrays():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    wanted = np.stack([grey] * 3, axis=2)
    alpha = np.dstack([wanted, np.full_like(grey, 7)])
    deep = grey.astype(np.uint16) * 257
    for array in (grey, grey[..., None], wanted, alpha, deep, np.dstack([deep] * 3), np.dstack([deep] * 4)):
        np.testing.assert_array_equal(read_pixels(array), wanted)
    for kind in (np.float16, np.float32, np.float64, np.int32):
        np.testing.assert_array_equal(read_pixels(wanted.astype(kind)), wanted)
    shares = np.dstack([wanted / 255.0, np.full(grey.shape, 9.0)])
    np.testing.assert_array_equal(read_pixels(shares), wanted, "transparency does not count as a maximum")
    np.testing.assert_array_equal(read_pixels(wanted[:, ::-1]), wanted[:, ::-1])


def test_arrays_are_as_files(tmp_path):
    """The same values, once from a file and once as an array."""
    random = np.random.default_rng(1)
    for number, (low, high, kind) in enumerate(
        ((0, 65536, np.uint16), (0, 200, np.uint16), (0, 1, np.float32), (0, 255, np.float32), (0, 60000, np.float32))
    ):
        array = (random.random((5, 7)) * (high - low) + low).astype(kind)
        for suffix in (".tif", ".png") if kind is np.uint16 else (".tif",):
            Image.fromarray(array).save(tmp_path / f"{number}{suffix}")
            np.testing.assert_array_equal(read_pixels(tmp_path / f"{number}{suffix}"), read_pixels(array))


def test_images_of_pil_are_turned_upright(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # held turned by 90 degrees
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        path = tmp_path / f"turned{suffix}"
        Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
        loaded = Image.open(path)
        loaded.load()
        for image in (path, Image.open(path), loaded):
            upright = read_pixels(image)
            assert upright.shape == (32, 16, 3)
            assert upright[:16].min() >= 250
            assert upright[16:].max() <= 5
    drawn = Image.fromarray(pixels)
    drawn.getexif()[0x0112] = 6
    assert read_pixels(drawn).shape == (32, 16, 3)


def test_a_frame_that_the_user_chose(tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    image = Image.open(tmp_path / "two.gif")
    assert read_pixels(image)[0, 0, 0] == 10
    image.seek(1)
    assert read_pixels(image)[0, 0, 0] == 200


def test_what_is_no_image(tmp_path, path, server):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:60])
    os.mkfifo(tmp_path / "pipe.png")
    server.files["/page.html"] = Served(b"<html>")
    cases = {
        "absent.png' does not exist": tmp_path / "absent.png",
        "is a folder": tmp_path,
        "pipe.png' is not a regular file": tmp_path / "pipe.png",
        "is not a valid path": "a\0.png",
        "cannot be read: File name too long": "a" * 5000,
        "text.png' is not an image or is damaged": str(tmp_path / "text.png"),
        r"page.html' is not an image or is damaged": server.address("/page.html"),
        r"absent.png' cannot be downloaded: status 404": server.address("/absent.png"),
        r"an array of shape \(3, 4, 5\) and type uint8 is not an image": np.zeros((3, 4, 5), np.uint8),
        r"shape \(0, 4, 3\)": np.zeros((0, 4, 3), np.uint8),
        r"shape \(2, 2\) and type bool has pixels of type bool, not": np.zeros((2, 2), bool),
        "of type int64": np.zeros((2, 2), np.int64),
        "of type complex64": np.zeros((2, 2), np.complex64),
        "of type object": np.full((2, 2), None),
        "float64 has pixel values outside of 0 to 65535": np.full((2, 2), np.nan),
        "pixel values outside of 0 to 65535": np.full((2, 2), -1.0),
        "Tensor is not an image": torch.zeros(3, 4, 4),
        "a PIL image is damaged": Image.open(tmp_path / "cut.png"),
    }
    for message, image in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            read_pixels(image)
        assert "\n" not in str(caught.value)


def test_names_that_are_not_utf8(tmp_path):
    """OpenCV's functions crash the process for such names."""
    path = tmp_path / LATIN
    write_image(path, PIXELS)
    np.testing.assert_array_equal(read_image(path), PIXELS)
    np.testing.assert_array_equal(read_pixels(str(path)), PIXELS)
    path.write_text("no image")
    for wrong in (path, tmp_path / f"absent {LATIN}", tmp_path / "two\nlines"):
        with pytest.raises(UserError) as caught:
            read_image(wrong)
        str(caught.value).encode()
        assert "\n" not in str(caught.value)


def test_pictures_that_cannot_be_written(tmp_path):
    write_image(tmp_path / "new" / "a.png", PIXELS)
    cases = {
        "give another path": tmp_path / "new" / "a.png" / "b.png",
        "give a name that ends in .png or .jpg": tmp_path / "a.unknown",
    }
    for message, path in cases.items():
        with pytest.raises(UserError, match=message):
            write_image(path, PIXELS)
