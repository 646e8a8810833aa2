"""Decoder of image files."""

import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmbeit3.datasets.checks.files import check_complete
from mmbeit3.datasets.transforms import LoadImageOrFail
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, decode_image, image_size, read_pixels
from mmbeit3.images.decoding import is_complete_jpeg

RAMP = (np.indices((40, 60)).sum(0) * 2).astype(np.uint8)
COLOURS = np.dstack([RAMP, RAMP[::-1], 255 - RAMP])


def encoded(array, kind, **options):
    file = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF", "JPEG2000"])
def test_formats_without_loss(kind):
    grey = np.repeat(RAMP[..., None], 3, axis=2)
    array = grey if kind == "GIF" else COLOURS
    np.testing.assert_array_equal(decode_image(encoded(array, kind)), array[..., ::-1])


def test_jpeg_is_as_opencv_has_it():
    data = encoded(COLOURS, "JPEG")
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation, tmp_path):
    """Every format is decoded upright, and the size from the header is that of the pixels."""
    image = Image.fromarray(COLOURS)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(image, kind, exif=exif(orientation), **options)
    turns = {
        **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
        **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE},
        8: Image.Transpose.ROTATE_90,
    }
    upright = image.transpose(turns[orientation]) if orientation in turns else image
    (tmp_path / "image").write_bytes(data)
    for orient, wanted in ((True, upright), (False, upright if kind == "TIFF" else image)):
        pixels = decode_image(data, orient)
        assert np.abs(pixels[..., ::-1].astype(int) - np.asarray(wanted)).max() <= (6 if kind == "JPEG" else 0)
        assert image_size(tmp_path / "image", orient) == pixels.shape[1::-1]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_and_floats(kind):
    deep = encoded(RAMP.astype(np.uint16) * 257, kind)
    np.testing.assert_array_equal(decode_image(deep)[..., 0], RAMP)
    if kind == "TIFF":
        np.testing.assert_array_equal(decode_image(encoded(RAMP.astype(np.float32) / 255, kind))[..., 1], RAMP)
        with pytest.raises(ImageError, match="pixel values outside of 0 to 65535"):
            decode_image(encoded(np.full((2, 2), np.nan, np.float32), kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("keep", [0, 0.05, 0.5, 0.9])
def test_truncated(kind, keep):
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    data = encoded(noise, kind)
    with pytest.raises(ImageError, match=r"is truncated|is damaged|is not an image" if keep else "is empty"):
        decode_image(data[: int(len(data) * keep)])


def test_a_thumbnail_does_not_end_a_jpeg():
    thumbnail = encoded(COLOURS[:8, :8], "JPEG")
    data = encoded(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8), "JPEG")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = data[:2] + segment + data[2:]
    assert decode_image(data).shape == (60, 60, 3)
    with pytest.raises(ImageError, match="is truncated"):
        decode_image(data[:-200])


def jpeg(**options):
    """Encode a small JPEG with a thumbnail in its EXIF data, as cameras write it."""
    data = encoded(COLOURS, "JPEG", **options)
    thumbnail = b"Exif\0\0" + encoded(COLOURS[:8, :8], "JPEG")
    return data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]


JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 2},
    "progressive with restart markers": {"progressive": True, "restart_marker_blocks": 3},
}


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_is_complete_from_its_end_marker_on(options):
    data = jpeg(**options)
    assert data.endswith(b"\xff\xd9")
    assert [end for end in range(2, len(data) + 1) if is_complete_jpeg(data[:end])] == [len(data)]


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@given(trailing=st.one_of(st.binary(), st.lists(st.sampled_from([b"\xff", b"\xda", b"\xd9", b"\xd8", b"\0"])).map(b"".join)))
def test_data_after_the_end_of_a_jpeg_do_not_count(options, trailing):
    """Motion photos have a video there."""
    data = jpeg(**options) + trailing
    assert is_complete_jpeg(data)
    assert decode_image(data).shape == (40, 60, 3)


def test_a_png_is_complete_from_its_last_chunk_on(tmp_path):
    data = encoded(COLOURS, "PNG")
    path = tmp_path / "image.png"
    for content in (data, data + bytes(5000), data + b"IEND"):
        path.write_bytes(content)
        assert check_complete(str(path)) == (60, 40)
    for content in (data[:-12], data[:-12] + bytes(5000), data[:-12] + b"IEND"):
        path.write_bytes(content)
        with pytest.raises(ImageError, match="is truncated"):
            check_complete(str(path))


def test_loading_equals_mmcv(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(COLOURS, "JPEG", exif=exif(6)))
    for options in ({}, {"to_float32": True}, {"color_type": "color_ignore_orientation"}, {"color_type": "grayscale"}):
        ours = LoadImageOrFail(**options)({"img_path": str(path)})
        theirs = LoadImageFromFile(**options)({"img_path": str(path)})
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_array_equal(ours[key], value)


def test_a_size_that_the_annotations_do_not_state(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(COLOURS, "JPEG", exif=exif(6)))
    sample = {"img_path": str(path), "height": 60, "width": 40}
    assert LoadImageOrFail()(dict(sample))["img"].shape == (60, 40, 3)
    with pytest.raises(UserError, match=r"40 x 60 pixels .* for 60 x 40: its EXIF orientation rotates it; set color_type"):
        LoadImageOrFail()({**sample, "height": 40, "width": 60})
    with pytest.raises(UserError, match=r"for 20 x 30: boxes and masks would be misplaced"):
        LoadImageOrFail()({**sample, "height": 30, "width": 20})


@pytest.mark.parametrize(
    "options", [{}, {"color_type": "grayscale"}, {"color_type": "unchanged"}, {"imdecode_backend": "pillow"}]
)
def test_truncated_files_are_refused_whatever_the_pipeline_asks_for(options, tmp_path):
    data = encoded(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8), "JPEG")
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(data)
    assert LoadImageOrFail(**options)({"img_path": str(path)})["img"].shape[:2] == (60, 60)
    path.write_bytes(data[:-200])
    with pytest.raises(UserError, match=r"image '.*caf\?.jpg' is truncated"):
        LoadImageOrFail(**options)({"img_path": str(path)})


def test_exif_data_behind_the_pixels():
    """EXIF data after the pixels, where ExifTool writes them; Pillow writes them before."""
    data = encoded(COLOURS, "PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    for one in (data, moved):
        assert decode_image(one).shape == (60, 40, 3)
        assert image_size(io.BytesIO(one)) == (40, 60)
        assert image_size(io.BytesIO(one), orient=False) == (60, 40)
    np.testing.assert_array_equal(decode_image(moved), decode_image(data))


def test_damaged_exif_data_turns_nothing():
    data = encoded(COLOURS, "JPEG", exif=exif(6))
    damaged = data.replace(b"Exif\0\0MM", b"Exif\0\0XX")
    assert damaged != data
    assert decode_image(damaged).shape == (40, 60, 3)
    assert image_size(io.BytesIO(damaged)) == (60, 40)


def test_orientation_stands_in_exif_data_alone():
    """Pillow would also read XMP, which OpenCV and browsers ignore."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    data = encoded(COLOURS, "JPEG", xmp=xmp)
    assert decode_image(data).shape == (40, 60, 3)
    assert image_size(io.BytesIO(data)) == (60, 40)
    loaded = Image.open(io.BytesIO(data))
    loaded.load()
    assert read_pixels(loaded).shape == (40, 60, 3)


def test_dark_images_of_sixteen_bits_stay_dark():
    """The bit depth comes from the file, not from the brightest pixel."""
    dark = np.full((3, 4), 200, np.uint16)
    ppm = b"P5\n4 3\n65535\n" + dark.astype(">u2").tobytes()
    for data in (encoded(dark, "PNG"), encoded(dark, "TIFF"), ppm):
        assert decode_image(data).max() == 0
