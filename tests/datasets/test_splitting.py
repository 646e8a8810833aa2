"""Splits into training and validation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbeit3.datasets import splitting
from mmbeit3.datasets.layouts import find_layout
from mmbeit3.datasets.splitting import choose_val, split_folder
from mmbeit3.errors import UserError
from tests.datasets.folders import coco_folder, label_folder


@given(
    groups=st.dictionaries(st.integers(), st.lists(st.sampled_from("abc"), max_size=3), min_size=2, max_size=30),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_the_share_is_kept_and_reproducible(groups, share, seed):
    val = choose_val(groups, share, seed)
    assert val == choose_val(groups, share, seed)
    assert len(val) == min(max(1, round(share * len(groups))), len(groups) - 1)
    assert val <= groups.keys()


@given(
    groups=st.dictionaries(st.integers(), st.lists(st.sampled_from("abcdef"), max_size=4), min_size=2, max_size=30),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_no_class_is_only_in_validation(groups, share, seed):
    """As long as training has an image for each class."""
    classes = {name for names in groups.values() for name in names}
    train = groups.keys() - choose_val(groups, share, seed)
    if len(train) >= len(classes):
        assert {name for item in train for name in groups[item]} == classes


@pytest.mark.parametrize("seed", range(20))
def test_an_image_of_two_rare_classes(seed):
    groups = {1: ["a"], 2: ["a", "c"], 4: ["c"], **{number: [] for number in range(5, 12)}}
    assert choose_val(groups, 0.2, seed) & {1, 2, 4} in ({1, 4}, {2})


@given(seed=st.integers(0, 999))
def test_a_rare_class_is_in_both(seed):
    groups = {number: ["common", "rare"] if number < 2 else ["common"] for number in range(20)}
    assert len(choose_val(groups, 0.2, seed) & {0, 1}) == 1


def test_coco(tmp_path):
    root = coco_folder(tmp_path, train=8, val=2, unsplit=True)
    written = split_folder(root)
    assert {split: count for split, (_, count) in written.items()} == {"train": 8, "val": 2}
    whole, train, val = (json.loads((root / f"{name}.json").read_text()) for name in ("all", "train", "val"))
    for key in ("images", "annotations"):
        assert sorted(one["id"] for one in train[key] + val[key]) == sorted(one["id"] for one in whole[key])
    for part in (train, val):
        assert part["categories"] == whole["categories"]
        assert {one["image_id"] for one in part["annotations"]} == {one["id"] for one in part["images"]}
    assert set(find_layout(root).files) == {"train", "val"}
    with pytest.raises(UserError, match="is split already"):
        split_folder(root)


@pytest.mark.parametrize("broken", [False, True])
def test_both_files_or_none(tmp_path, monkeypatch, broken):
    root = coco_folder(tmp_path, unsplit=True)
    if broken:
        monkeypatch.setattr(splitting, "write_atomically", one_file_only)
    else:
        (root / "val.json").write_text("{}")
    with pytest.raises(UserError, match="disk is full" if broken else r"val\.json' exists: the data are split already"):
        split_folder(root / "all.json")
    assert not (root / "train.json").exists()


def one_file_only(path, content):
    if path.name == "val.json":
        raise UserError("disk is full")
    path.write_bytes(content)


def test_one_file_of_a_folder_of_annotations(tmp_path):
    root = coco_folder(tmp_path, unsplit=True)
    (root / "annotations").mkdir()
    (root / "all.json").rename(root / "annotations" / "all.json")
    assert split_folder(root / "annotations" / "all.json")["val"] == (root / "val.json", 1)
    # The original is not overwritten.
    (root / "val.json").unlink()
    with pytest.raises(UserError, match=r"is alone: if it was split from annotations/all\.json, remove it, and split again"):
        split_folder(root)


def test_labels(tmp_path):
    root = label_folder(tmp_path, train=8, val=2, split=False)
    written = split_folder(root, share=0.3, seed=1)
    assert written["val"][1] == 3
    names = [path.read_text().split() for path, _ in written.values()]
    assert sorted(names[0] + names[1]) == sorted(str(number) for number in range(10))
    layout = find_layout(root)
    assert layout.lists == {"train": "train.txt", "val": "val.txt"}


def test_what_it_refuses(tmp_path):
    root = coco_folder(tmp_path / "a", unsplit=True)
    with pytest.raises(UserError, match="give a number between 0 and 1"):
        split_folder(root, share=20)
    (root / "all.json").rename(root / "train.json")
    with pytest.raises(UserError, match=r"rename it to 'all\.json'"):
        split_folder(root)
    (root / "train.json").rename(root / "one.json")
    (root / "two.json").write_text("{}")
    with pytest.raises(UserError, match=r"has the files one\.json, two\.json: name the one to split"):
        split_folder(root)
    assert split_folder(root / "one.json")["val"][1] == 1
    with pytest.raises(UserError, match="is split already, into train, val"):
        split_folder(label_folder(tmp_path / "b"))
