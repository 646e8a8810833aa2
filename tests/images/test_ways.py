"""An image file gives the same pixels, or the same error, in every way of reading it."""

import io
import tarfile
import warnings

import numpy as np
import pytest
from PIL import Image

from mmbeit3.datasets.transforms import LoadImageOrFail
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, decode_image, image_size, read_pixels
from mmbeit3.pretrain.data import BadRecordError, ImageFolder, TarShards
from mmbeit3.pretrain.data.types import Reader
from tests.downloads.server import Served, Server
from tests.images import made

COUNT = 300

pytestmark = pytest.mark.filterwarnings("ignore:(Truncated|Corrupt)")


@pytest.fixture(scope="module")
def files():
    return [made.make(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def outcomes(files):
    """Decode each file's bytes: pixels, or the error message."""
    return {file.name: outcome(decode_image, file.data) for file in files}


def outcome(read, given):
    try:
        pixels = read(given)
    except (ImageError, UserError, BadRecordError) as error:
        return str(error)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return pixels


def compare(outcomes, name, found):
    wanted = outcomes[name]
    if isinstance(wanted, str):
        assert isinstance(found, str), name
        assert found.isprintable(), name
        assert wanted in found or "is damaged or not an image" in found, (name, wanted, found)
    else:
        np.testing.assert_array_equal(found, wanted, name)


def test_whole_files_have_the_colours_that_were_written(files, outcomes):
    seen = set()
    for file in files:
        if file.damage is None:
            pixels = outcomes[file.name]
            assert not isinstance(pixels, str), (file.name, file.image.mode, pixels)
            if file.kind in made.LOSSY:
                assert pixels.shape == file.wanted.shape
            else:
                np.testing.assert_array_equal(pixels, file.wanted, f"{file.name} {file.image.mode} {file.orientation}")
            seen.add((file.kind, file.image.mode))
    assert seen == {(kind, mode) for kind, modes in made.FORMATS.items() for mode in modes}


def test_damaged_files(files, outcomes):
    for file in files:
        if file.damage in ("empty", "page", "text") or (file.damage == "cut" and file.kind == "JPEG"):
            assert isinstance(outcomes[file.name], str), file.name
    assert sum(isinstance(outcomes[file.name], str) for file in files) > 50


def test_the_header_says_the_size(files, outcomes):
    for file in files:
        if not isinstance(outcomes[file.name], str):
            assert image_size(io.BytesIO(file.data)) == outcomes[file.name].shape[1::-1], file.name


def test_files(files, outcomes, tmp_path):
    """Read by path, by an OpenMMLab pipeline, and as pretraining records."""
    load = LoadImageOrFail()
    for file in files:
        (tmp_path / file.name).write_bytes(file.data)
    for entry in ImageFolder(tmp_path).read_epoch(Reader(), 0, 0, False, 0):
        compare(outcomes, entry.key, outcome(lambda entry: entry.load()["image"][..., ::-1], entry))
    for file in files:
        path = tmp_path / file.name
        compare(outcomes, file.name, outcome(read_pixels, path))
        compare(outcomes, file.name, outcome(lambda path: load({"img_path": str(path)})["img"], path))


def test_members_of_a_tar(files, outcomes, tmp_path):
    pytest.importorskip("webdataset")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for file in files:
            info = tarfile.TarInfo(file.name)
            info.size = len(file.data)
            tar.addfile(info, io.BytesIO(file.data))
    entries = list(TarShards(tmp_path / "all.tar", "images").read_epoch(Reader(), 0, 0, False, 0))
    assert [entry.key for entry in entries] == [file.name.partition(".")[0] for file in files]
    for file, entry in zip(files, entries, strict=True):
        compare(outcomes, file.name, outcome(lambda entry: entry.load()["image"][..., ::-1], entry))


def test_addresses(files, outcomes):
    server = Server()
    try:
        for file in files:
            server.files[f"/{file.name}"] = Served(file.data)
            compare(outcomes, file.name, outcome(read_pixels, server.address(f"/{file.name}")))
    finally:
        server.stop()


@pytest.mark.parametrize("loaded", [False, True])
def test_images_of_pil(files, outcomes, loaded):
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(file.data))
                if loaded:
                    image.load()
        except Exception:  # noqa: BLE001  (whatever Pillow raises: there is no image then)
            continue
        if not loaded or file.kind != "JPEG":
            compare(outcomes, file.name, outcome(read_pixels, image))
        elif not file.damage:
            # Decoded by Pillow, not OpenCV; of the same version of libjpeg they are equal.
            np.testing.assert_allclose(read_pixels(image).astype(int), outcomes[file.name], atol=3)


def test_arrays_and_images_that_no_file_is_behind(files):
    for file in files:
        if file.image.mode in ("L", "RGB", "RGBA", "I;16", "I", "F") and file.kind != "PPM":
            array = np.asarray(file.image)
            array = array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.ndim == 3 else array
            upright = made.Made(file.name, b"", file.image, file.kind, 1, None).wanted
            np.testing.assert_array_equal(read_pixels(array), upright)
            np.testing.assert_array_equal(read_pixels(file.image), upright)
