"""The conversion of the nuclei."""

import hashlib
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmbeit3.datasets.prepared import nuclei
from mmbeit3.datasets.prepared.sources import open_source
from mmbeit3.datasets.prepared.target import Target
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from tests.datasets.prepared.made import HEIGHT, IDS, WIDTH, encode, noise, stage1, write_folder

TOP = "fixes-master/stage1_train/"


def convert(tmp_path, files, out="out"):
    write_folder(tmp_path / "copy", files)
    target = Target(tmp_path / out)
    with open_source(tmp_path / "copy", nuclei.WANTED.search) as source:
        notes = nuclei.convert(source, nuclei.find_root(source.names), target, ("nucleus",))
    return notes, {split: json.loads((target.root / f"{split}.json").read_text()) for split in ("train", "val")}


def test_masks_and_split(tmp_path):
    notes, splits = convert(tmp_path, stage1())
    assert notes == []
    for split, content in splits.items():
        assert [one["file_name"] for one in content["images"]] == [
            f"{one[:16]}.jpg" for one in sorted(IDS) if nuclei.split_of(one) == split
        ]
    left, right = splits["val"]["annotations"][:2]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:10, 5:15] = 1
    assert (coco_mask.decode(left["segmentation"]) == mask).all()
    assert (left["bbox"], left["area"], right["bbox"]) == ([5, 4, 10, 6], 60, [25, 4, 10, 6])
    assert read_image(tmp_path / "out" / "images" / f"{IDS[0][:16]}.jpg").shape == (HEIGHT, WIDTH, 3)


def test_share_of_validation():
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    share = np.mean([nuclei.split_of(one) == "val" for one in ids])
    # Three standard deviations of 4000 draws.
    assert abs(share - nuclei.VAL_SHARE) < 3 * (0.15 * 0.85 / 4000) ** 0.5


def test_corrections_are_counted(tmp_path):
    files = stage1()
    first, second, third = IDS[:3]
    files[f"{TOP}{first}/masks/empty.png"] = encode(np.zeros((HEIGHT, WIDTH), np.uint8), "PNG")
    files[f"{TOP}{first}/masks/size.png"] = encode(np.full((5, 5), 255, np.uint8), "PNG")
    files[f"{TOP}{second}/images/{second}.png"] = files[f"{TOP}{third}/images/{third}.png"]
    notes, splits = convert(tmp_path, files)
    assert notes == [
        "1 images have the content of another one and were dropped",
        "1 masks were empty and were dropped",
        "1 masks have another size than their images and were dropped",
    ]
    assert sum(len(content["images"]) for content in splits.values()) == len(IDS) - 1


def test_anti_aliased_colour_masks(tmp_path):
    files, one = stage1(), IDS[0]
    mask = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    mask[:8, :8] = 255
    mask[8, :8] = 100
    files = {name: content for name, content in files.items() if f"{one}/masks" not in name}
    files[f"{TOP}{one}/masks/0.png"] = encode(mask, "PNG")
    _, splits = convert(tmp_path, files)
    (image,) = (image for image in splits[nuclei.split_of(one)]["images"] if image["file_name"] == f"{one[:16]}.jpg")
    (found,) = (a for a in splits[nuclei.split_of(one)]["annotations"] if a["image_id"] == image["id"])
    assert found["bbox"] == [0, 0, 8, 8]


def test_faults(tmp_path):
    one = IDS[0]
    with pytest.raises(UserError, match=r"x.png' in .* the copy is damaged"):
        convert(tmp_path / "a", stage1() | {f"{TOP}{one}/masks/x.png": b"no image"})
    missing = f"{TOP}{one}/images/{one}.png"
    with pytest.raises(UserError, match="the copy is incomplete"):
        convert(tmp_path / "b", {name: content for name, content in stage1().items() if name != missing})
    twin = one[:16] + "0" * 48
    with pytest.raises(UserError, match="two ids that begin with"):
        convert(tmp_path / "c", stage1([*IDS, twin]))


def test_other_layouts():
    assert nuclei.find_root(["a/b/images/b.png", "train.json"]) is None


def test_noise_differs():
    """The copies above rely on images of different content."""
    assert (noise(0) != noise(1)).any()
