"""Label images: decoding, and mapping of numbers to labels."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import TRANSFORMS, init_default_scope
from PIL import Image

from mmbeit3.datasets.labels import LabelCoding, decode_labels
from mmbeit3.datasets.transforms import LoadLabelImage
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_stand_as_in_the_file(dtype):
    values = np.arange(60, dtype=dtype).reshape(6, 10) * (1 if dtype is np.uint8 else 900)
    np.testing.assert_array_equal(decode_labels(encoded(values)), values)
    np.testing.assert_array_equal(decode_labels(encoded(values, "TIFF")), values)


def test_palettes_are_not_applied():
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(values, "P")
    image.putpalette([255 - i // 3 for i in range(768)])
    np.testing.assert_array_equal(decode_labels(encoded(image)), values)
    bits = np.array([[True, False, True]])
    np.testing.assert_array_equal(decode_labels(encoded(bits)), bits)


EXIF = Image.Exif()
EXIF[0x0112] = 6
GREY = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(np.zeros((8, 8, 3), np.uint8)), r"has 3 channels \(RGB\): write each pixel's class number"),
        (encoded(np.zeros((8, 8, 4), np.uint8)), r"has 4 channels \(RGBA\)"),
        (encoded(GREY, "JPEG"), "is a JPEG file, whose compression changes class numbers"),
        (encoded(GREY, "WEBP"), "is a WebP"),
        (encoded(GREY, exif=EXIF), "EXIF orientation"),
        (encoded(np.zeros((8, 8), np.float32), "TIFF"), r"has 1 channels \(F\)"),
        (encoded(np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8))[:-50], "is damaged"),
        (b"", "is empty"),
        (b"<html>", "is not an image"),
    ],
)
def test_what_is_no_label_image(data, reason):
    with pytest.raises(ImageError, match=reason):
        decode_labels(data)


def encode_by_hand(values, num_classes, reduce_zero_label, label_map):
    """Encode one number at a time. None for a number without a meaning."""
    labels = []
    for value in values.ravel().tolist():
        label = value
        if reduce_zero_label:
            label = 255 if value in (0, 255) else value - 1
        if value > 255 or value < 0:
            return None
        if label != 255 and label_map is not None:
            if label not in label_map:
                return None
            label = label_map[label]
        if label != 255 and label >= num_classes:
            return None
        labels.append(label)
    return np.array(labels).reshape(values.shape)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 254, 255, 256, 65535]), min_size=1, max_size=6),
    num_classes=st.integers(2, 6),
    reduce_zero_label=st.booleans(),
    mapped=st.booleans(),
)
def test_coding(values, num_classes, reduce_zero_label, mapped):
    """Also equal to mmseg's loader if all numbers have a meaning."""
    values = np.array([values], np.int32)
    label_map = {0: 1, 1: 255, 2: 0} if mapped else None
    num_classes = 2 if mapped else num_classes
    coding = LabelCoding(num_classes, reduce_zero_label, label_map)
    wanted = encode_by_hand(values, num_classes, reduce_zero_label, label_map)
    if wanted is None:
        with pytest.raises(ImageError, match="pixels of the value"):
            coding.encode(values)
        return
    labels = coding.encode(values)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, wanted)


@pytest.mark.parametrize("reduce_zero_label", [False, True])
@pytest.mark.parametrize("label_map", [None, {0: 2, 1: 255, 2: 0, 3: 1}])
def test_loading_equals_mmseg(tmp_path, reduce_zero_label, label_map):
    init_default_scope("mmseg")
    path = tmp_path / "label.png"
    values = np.random.default_rng(0).choice([0, 1, 2, 3, 255], (12, 9)).astype(np.uint8)
    Image.fromarray(values).save(path)
    sample = {"seg_map_path": str(path), "reduce_zero_label": reduce_zero_label, "label_map": label_map}
    theirs = TRANSFORMS.build({"type": "LoadAnnotations"})({**sample, "seg_fields": []})
    ours = LoadLabelImage(num_classes=4)({**sample, "seg_fields": [], "ori_shape": (12, 9)})
    np.testing.assert_array_equal(ours["gt_seg_map"], theirs["gt_seg_map"])
    assert ours["gt_seg_map"].dtype == theirs["gt_seg_map"].dtype
    assert ours["seg_fields"] == theirs["seg_fields"]


def test_loading_names_the_file(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(np.full((4, 6), 3, np.uint8)).save(path)
    sample = {"seg_map_path": str(path), "ori_shape": (4, 6)}
    assert LoadLabelImage()(dict(sample))["gt_seg_map"].max() == 3
    with pytest.raises(UserError, match=r"label.png' has 24 pixels of the value 3; the 3 classes are 0 to 2, .* reduce_zero"):
        LoadLabelImage(num_classes=3)(dict(sample))
    with pytest.raises(UserError, match=r"label.png' is 6 x 4 pixels \(width x height\), but its image is 4 x 6"):
        LoadLabelImage()({**sample, "ori_shape": (6, 4)})
    path.unlink()
    with pytest.raises(UserError, match=r"label.png' does not exist"):
        LoadLabelImage()(dict(sample))
    assert LoadLabelImage()({"img_path": "x"}) == {"img_path": "x"}
