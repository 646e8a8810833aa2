"""Class folders and class names must match by name, not only in number."""

import itertools

import pytest

from mmbeit3.datasets.checks import check_data
from mmbeit3.errors import UserError

pytest.importorskip("mmpretrain")

FOLDERS = ("blue", "golden_retriever", "red")
SYNSETS = ("n01440764", "n01443537", "n01484850")


def make(root, folders=FOLDERS, splits=("train", "val")):
    for split, folder in itertools.product(splits, folders):
        (root / split / folder).mkdir(parents=True)
    return root


def config(root, classes=None, model=None, allow=(), **changes):
    meta = {} if classes is None else {"metainfo": {"classes": classes}}
    dataset = {"type": "mmpretrain.ImageNet", "data_root": str(root), **meta, **changes}
    return {
        "default_scope": "mmpretrain",
        "model": model or {},
        "train_dataloader": {"dataset": {**dataset, "split": "train"}},
        "val_dataloader": {"dataset": {**dataset, "split": "val"}},
        "data_checks": {"allow": list(allow)},
    }


def named(names):
    return {"type": "mmbeit3.BEiT3ZeroShotClassification", "class_names": names}


@pytest.mark.parametrize("order", list(itertools.permutations(FOLDERS)))
def test_names_in_another_order(tmp_path, order):
    make(tmp_path)
    if order == FOLDERS:
        check_data(config(tmp_path, order))
        check_data(config(tmp_path, ("Blue", "golden retriever", "red")))
        return
    with pytest.raises(UserError, match=r"class \d is '.*', but labels count the folders .* and folder \d is '"):
        check_data(config(tmp_path, order))
    check_data(config(tmp_path, order, allow=["folder_names"]))


def test_folders_that_are_not_the_classes(tmp_path):
    make(tmp_path)
    for classes, match in (
        (FOLDERS[:2], "has 3 folders, but there are 2 classes: no class for 'red'"),
        ((*FOLDERS, "zebra"), "has 3 folders, .* 4 classes: no folder for 'zebra'"),
        (("blue", "", "red"), "class 1 is ''"),
        (("blue", "blue", "red"), "class 1 is 'blue'"),
    ):
        with pytest.raises(UserError, match=match):
            check_data(config(tmp_path, classes))
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    with pytest.raises(UserError, match=r"the hidden folder '\.ipynb_checkpoints', which would count as a class: remove it"):
        check_data(config(tmp_path, FOLDERS))


@pytest.mark.parametrize("kind", ["ImageNet", "CustomDataset"])
def test_splits_with_different_folders(tmp_path, kind):
    make(tmp_path)
    cfg = config(tmp_path, FOLDERS)
    if kind == "CustomDataset":
        for split in ("train", "val"):
            cfg[f"{split}_dataloader"] = {
                "dataset": {"type": "mmpretrain.CustomDataset", "data_root": str(tmp_path), "data_prefix": split}
            }
    check_data(cfg)
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "rad")
    with pytest.raises(UserError, match=r"different folders, so|class 2 is called 'red'"):
        check_data(cfg)
    (tmp_path / "val" / "rad").rename(tmp_path / "val" / "zebra")
    (tmp_path / "val" / "red").mkdir()
    with pytest.raises(
        UserError, match=r"val_dataloader and train_dataloader have different folders.*only val_dataloader has 'zebra'"
    ):
        check_data(cfg)


def test_imagenet_itself(tmp_path):
    from timm.data import ImageNetInfo

    synsets = ImageNetInfo().label_names()
    make(tmp_path, synsets)
    check_data(config(tmp_path))
    (tmp_path / "val" / synsets[7]).rename(tmp_path / "val" / "n00000001")
    with pytest.raises(UserError, match="different folders"):
        check_data(config(tmp_path))


def test_parts_of_imagenet(tmp_path):
    make(tmp_path, SYNSETS)
    check_data(config(tmp_path, ("tench", "goldfish, Carassius auratus", "n01484850")))
    for classes in (("goldfish", "tench", "white shark"), ("a", "b", "c")):
        with pytest.raises(UserError, match=r"class 0 is '[a-z]*', but labels count"):
            check_data(config(tmp_path, classes))
    with pytest.raises(UserError, match="has 3 folders, but there are 1000 classes"):
        check_data(config(tmp_path))


def test_lists_of_images(tmp_path):
    make(tmp_path)
    listed = tmp_path / "list.txt"
    cfg = config(tmp_path, FOLDERS, ann_file="list.txt", data_prefix="train")
    listed.write_text("blue/a b.jpg 0\nx/red/c.jpg 2\nother/d.jpg 1\ne.jpg 1\n")
    check_data(cfg)
    for text, match in (
        ("blue/a.jpg 0\nred/a.jpg 1\n", "line 2: 'red/a.jpg' has the label 1, which is 'golden_retriever'"),
        ("blue/a.jpg 3", "line 1: label 3 is too large for 3 classes"),
        ("blue/a.jpg\n", "line 1 is 'blue.a.jpg': write"),
        ("blue/a.jpg 0\n\nred/b.jpg 2", "line 2 is '': write"),
        ("n01440764/a.jpg 0", "has the label 0, which is 'blue'"),
    ):
        listed.write_text(text)
        with pytest.raises(UserError, match=match):
            check_data(cfg)


def test_names_that_a_model_reads(tmp_path):
    make(tmp_path)
    check_data(config(tmp_path, FOLDERS, named(FOLDERS)))
    path = tmp_path / "names.txt"
    path.write_text("red\tsomething crimson\nblue\tthe sky\ngolden_retriever\ta dog\n")
    check_data(config(tmp_path, FOLDERS, named(str(path))))
    check_data(config(tmp_path, None, named(str(path)), type="mmpretrain.CustomDataset", data_prefix="train"))
    for names, match in (
        (("red", "golden retriever", "blue"), "name 0 is 'red', but class 0 of train_dataloader is 'blue'"),
        (FOLDERS[:2], "has 2 names, but train_dataloader has 3 classes"),
        (("the sky", "a dog", "crimson"), "name 0 is 'the sky'.*lines 'FOLDER<tab>NAME'"),
    ):
        with pytest.raises(UserError, match=match):
            check_data(config(tmp_path, FOLDERS, named(names)))
    check_data(config(tmp_path, FOLDERS, named(("the sky", "a dog", "crimson")), allow=["folder_names"]))
    path.write_text("rat\tsomething crimson\nblue\tthe sky\ngolden_retriever\ta dog\n")
    with pytest.raises(UserError, match="different folders: folder 2 is 'rat' in class_names and 'red' in the data"):
        check_data(config(tmp_path, FOLDERS, named(str(path))))
