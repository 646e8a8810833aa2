"""All that may stand for an image gives the same pixels, and what is none is named."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmbeit3.apis.inferencers.images import list_folder, list_images, name_image, read_pixels
from mmbeit3.errors import UserError


@pytest.fixture(scope="module")
def address(images):
    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(images[0].parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_kinds_of_images(images, address):
    pixels = cv2.imread(str(images[0]))
    for image in (images[0], str(images[0]), f"{address}/0.png", pixels, Image.open(images[0])):
        found = read_pixels(image)
        assert found.dtype == np.uint8
        assert np.array_equal(found, pixels), type(image)
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(read_pixels(grey), np.stack([grey] * 3, axis=2))
    with_alpha = Image.fromarray(pixels[..., ::-1].copy()).convert("RGBA")
    assert np.array_equal(read_pixels(with_alpha), pixels)


def test_images_are_turned_upright(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # held turned by 90 degrees
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    upright = read_pixels(Image.open(path))
    assert upright.shape == (32, 16, 3)
    assert upright[:16].min() == 255
    assert upright[16:].max() == 0
    assert np.array_equal(read_pixels(path), upright)


def test_what_is_no_image(tmp_path, images, address):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:60])
    cases = {
        "does not exist": tmp_path / "absent.png",
        "text.png' is no image or is damaged": str(tmp_path / "text.png"),
        r"absent.png' cannot be downloaded \(HTTP Error 404": f"{address}/absent.png",
        r"cannot be downloaded \(<urlopen error": "http://127.0.0.1:9/a.png",
        r"an array of shape \(3, 4, 5\) and type uint8 is no image": np.zeros((3, 4, 5), np.uint8),
        r"shape \(3, 4, 3\) and type float32": np.zeros((3, 4, 3), np.float32),
        r"shape \(0, 4, 3\)": np.zeros((0, 4, 3), np.uint8),
        "Tensor is no image": torch.zeros(3, 4, 4),
        "an image of PIL's cannot be read": Image.open(tmp_path / "cut.png"),
    }
    for message, image in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            read_pixels(image)
        assert "\n" not in str(caught.value)


def test_an_address_without_an_image(address, images):
    (images[0].parent / "page.html").write_text("<html>")
    try:
        with pytest.raises(UserError, match=r"page.html' is no image or is damaged"):
            read_pixels(f"{address}/page.html")
    finally:
        (images[0].parent / "page.html").unlink()


def test_lists(images, tmp_path):
    folder = tmp_path / "folder"
    for name in ("b.JPG", "a/z.png", "a/notes.txt", "c.webp"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    wanted = [folder / "a" / "z.png", folder / "b.JPG", folder / "c.webp"]
    assert list_images(folder) == list_images(str(folder)) == list_folder(folder) == wanted
    array = np.zeros((4, 4, 3), np.uint8)
    assert list_images(images[0]) == [images[0]]
    assert list_images(array)[0] is array
    assert list_images((str(images[0]), images[1])) == [str(images[0]), images[1]]
    assert [name_image(image) for image in (images[0], "a.png", array)] == [str(images[0]), "a.png", None]
    with pytest.raises(UserError, match="list of images is empty"):
        list_images([])
    with pytest.raises(UserError, match=r"absent' does not exist: give a folder"):
        list_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty' has no images: none of its files ends in .jpg, "):
        list_images(tmp_path / "empty")
