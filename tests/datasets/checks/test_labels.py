"""Label images that do not fit the config, the images or each other."""

import contextlib
import io
import random
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mmbeit3.datasets.checks import check_data, labels
from mmbeit3.errors import UserError
from mmbeit3.runner.loading import use_checked_loading
from tests.datasets.checks.made import CLASSES, label_config, write_labels

SPLITS = ("train", "val")


def refused(cfg, reason, splits=SPLITS):
    with pytest.raises(UserError, match=reason) as error:
        check_data(cfg, splits)
    assert "\n" not in str(error.value)


def ones(value, size=(32, 24)):
    return np.full(size[::-1], value, np.uint8)


def test_sound_labels(tmp_path):
    write_labels(tmp_path)
    check_data(label_config(tmp_path), SPLITS)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (ones(3), r"label image .*2.png' has 768 pixels of the value 3; .* reduce_zero_label=True in the dataset"),
        (ones(77), "of the value 77; the 3 classes are 0 to 2, and 255 means ignored"),
        (np.full((24, 32), 300, np.uint16), "of the value 300"),
        (np.zeros((24, 32, 3), np.uint8), "has 3 channels"),
        (ones(0, (24, 32)), "is 24 x 32 pixels .* but its image is 32 x 24"),
        (b"", "2.png' is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is no image|damaged"),
    ],
)
def test_a_label_image_that_does_not_fit(tmp_path, label, reason):
    write_labels(tmp_path, {2: label})
    refused(label_config(tmp_path), reason)


def test_a_file_that_is_missing_or_cut_off(tmp_path):
    write_labels(tmp_path)
    label = tmp_path / "labels" / "3.png"
    whole = label.read_bytes()
    label.write_bytes(whole[: len(whole) // 2])
    refused(label_config(tmp_path), "label image .*3.png' is damaged", ("val",))
    label.unlink()
    refused(label_config(tmp_path), r"label image '.*3.png' does not exist \(1 of 4 are missing\)", ("val",))
    label.write_bytes(whole)
    image = tmp_path / "images" / "1.jpg"
    image.write_bytes(image.read_bytes()[:-30])
    refused(label_config(tmp_path), "image '.*1.jpg' is truncated", ("val",))


def test_no_image_is_left(tmp_path):
    write_labels(tmp_path, suffix=".png")
    refused(label_config(tmp_path), "no image ends in '.jpg' in '.*images', which contains 4 .png: set img_suffix")
    check_data(label_config(tmp_path, img_suffix=".png"), SPLITS)
    (tmp_path / "split.txt").write_text("0\n9\n")
    refused(label_config(tmp_path, img_suffix=".png", ann_file="split.txt"), r"image '.*9.png' does not exist")


def test_files_that_are_not_used_are_logged(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(labels, "print_log", lambda message, *_: logged.append(message))
    write_labels(tmp_path)
    (tmp_path / "images" / "0.jpg").rename(tmp_path / "images" / "0.JPG")
    check_data(label_config(tmp_path), ("train",))
    assert "1 files in" in logged[0]
    assert "such as '0.JPG': images must end in '.jpg'" in logged[0]
    assert "such as '0.png': label images must have the name of an image and end in '.png'" in logged[1]


def test_an_image_that_is_turned(tmp_path):
    """Labels are for the image as stored, or for the upright one."""
    write_labels(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 8
    image = tmp_path / "images" / "0.jpg"
    Image.open(image).save(image, exif=exif)
    cfg = label_config(tmp_path)
    refused(cfg, "0.png' is 32 x 24 pixels .* but its image is 24 x 32")
    for split in SPLITS:
        cfg[f"{split}_dataloader"]["dataset"]["pipeline"] = [
            {"type": "LoadImageFromFile", "color_type": "color_ignore_orientation"},
            {"type": "LoadAnnotations"},
        ]
    check_data(cfg, SPLITS)


def test_one_class(tmp_path):
    write_labels(tmp_path, dict.fromkeys(range(4), ones(0)))
    refused(label_config(tmp_path, classes=("road",)), "only the class 'road', so every pixel would get it: add the background")


def test_masks_of_another_coding(tmp_path):
    mask = ones(0)
    mask[:5] = 255
    write_labels(tmp_path, dict.fromkeys(range(4), mask))
    refused(
        label_config(tmp_path, classes=("background", "road")),
        "only 0 and 255, and 255 means ignored: write 1 instead of 255 for 'road'",
    )
    write_labels(tmp_path, dict.fromkeys(range(4), ones(255)))
    refused(label_config(tmp_path), "have only the numbers 255, which all mean ignored: number the classes from 0")


def test_reduce_zero_label(tmp_path):
    write_labels(tmp_path)
    cfg = label_config(tmp_path, reduce_zero_label=True)
    refused(cfg, r"ignores the number 0 and makes 3 the last class, but no label .* has 3: .*allow=\['zero_label'\]")
    check_data({**cfg, "data_checks": {"allow": "zero_label"}}, SPLITS)
    write_labels(tmp_path, {0: ones(3)})
    check_data(cfg, SPLITS)
    refused(label_config(tmp_path), "reduce_zero_label=True in the dataset")
    for split in SPLITS:
        cfg[f"{split}_dataloader"]["dataset"]["pipeline"] = [{"type": "LoadAnnotations", "reduce_zero_label": False}]
    refused(cfg, "the dataset has reduce_zero_label=True but LoadAnnotations of its pipeline has False")
    cfg = label_config(tmp_path, reduce_zero_label=True)
    cfg["tta_pipeline"] = [{"type": "TestTimeAug", "transforms": [[{"type": "LoadAnnotations", "reduce_zero_label": False}]]}]
    refused(cfg, "LoadAnnotations of its pipeline has False")


def test_what_is_ignored_is_the_same_everywhere(tmp_path):
    write_labels(tmp_path)
    cfg = label_config(tmp_path)
    cfg["val_evaluator"]["ignore_index"] = 0
    refused(cfg, "IoUMetric has ignore_index=0, but model.decode_head has 255")
    check_data({**cfg, "model": {"decode_head": {"ignore_index": 0, "num_classes": 3}}}, SPLITS)


def test_custom_classes_of_a_known_dataset(tmp_path):
    """mmseg maps the class numbers of the dataset to those of the config."""
    write_labels(tmp_path, {0: ones(150)})
    cfg = label_config(tmp_path, classes=("building", "wall"), type="ADE20KDataset")
    cfg["train_dataloader"]["dataset"]["data_prefix"] = {"img_path": "images", "seg_map_path": "labels"}
    check_data(cfg, ("train",))
    write_labels(tmp_path, {0: ones(151)})
    refused(cfg, "of the value 151; the 150 classes are 1 to 150", ("train",))
    refused(label_config(tmp_path, classes=("no class",), type="ADE20KDataset"), "has only the class")
    refused(label_config(tmp_path, classes=("no class", "wall"), type="ADE20KDataset"), "cannot be built: .*not a subset")


def break_labels(folder, rng):
    """Break a label image or an image in one random way."""
    which = rng.randrange(4)
    label, image = folder / "labels" / f"{which}.png", folder / "images" / f"{which}.jpg"
    values = np.array(Image.open(label)) if label.stat().st_size > 100 else ones(0)
    noise = np.random.default_rng(rng.randrange(1000))

    def save(array, path=label, **options):
        Image.fromarray(array).save(path, **options)

    def cut(path):
        data = path.read_bytes()
        path.write_bytes(data[: rng.randrange(len(data))])

    def flip(path):
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))

    ways = [
        lambda: cut(label),
        lambda: cut(image),
        lambda: flip(label),
        lambda: save(values + np.uint8(rng.randrange(1, 250))),
        lambda: save(values.astype(np.uint16) * rng.choice((1, 257, 300))),
        lambda: save(np.dstack([values] * rng.choice((3, 4)))),
        lambda: save(values.T),
        lambda: save(values[:-1]),
        lambda: save(noise.choice([0, 255], values.shape).astype(np.uint8)),
        lambda: save(np.where(noise.random(values.shape) < 0.01, rng.randrange(256), values).astype(np.uint8)),
        label.unlink,
        image.unlink,
        lambda: save(values, folder / "labels" / f"{which}.jpg"),
        lambda: save(noise.random(values.shape) < 0.5),
        lambda: Image.open(image).transpose(Image.Transpose.ROTATE_90).save(image),
        lambda: Image.fromarray(values, "P").save(label),
    ]
    rng.choice(ways)()


def test_faulty_labels_are_refused_or_right(tmp_path):
    """Of 120 folders with random faults, each is refused, or mmseg reads exactly what it contains."""
    init_default_scope("mmseg")
    rng = random.Random(0)
    count = 0
    for number in range(120):
        folder = tmp_path / str(number)
        write_labels(folder)
        for _ in range(rng.choice((1, 1, 2))):
            with contextlib.suppress(OSError, TypeError):
                break_labels(folder, rng)
        cfg = label_config(folder, reduce_zero_label=rng.random() < 0.2)
        try:
            check_data(cfg, SPLITS)
        except UserError as error:
            count += "\n" not in str(error)
            continue
        dataset = DATASETS.build(use_checked_loading(cfg["train_dataloader"], cfg)["dataset"])
        assert len(dataset) == len(list((folder / "images").iterdir()))
        for sample in dataset:
            label = folder / "labels" / f"{Path(sample['img_path']).stem}.png"
            values = np.array(Image.open(io.BytesIO(label.read_bytes()))).astype(np.int64)
            if dataset.reduce_zero_label:
                values = np.where((values == 0) | (values == 255), 256, values) - 1
            np.testing.assert_array_equal(sample["gt_seg_map"], values)
            assert set(np.unique(values)) <= {*range(len(CLASSES)), 255}
            assert sample["gt_seg_map"].shape == sample["img"].shape[:2]
    assert 80 < count < 119
