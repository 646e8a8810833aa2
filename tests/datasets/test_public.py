"""The table of public data sets: its paths are those of the configs, and copies are recognised."""

from pathlib import Path

import pytest

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.metainfo import dataset_class, read_metainfo
from mmbeit3.datasets.public import PUBLIC, find_public, missing_parts
from mmbeit3.errors import UserError
from mmbeit3.runner.config import read_config
from tests.paths import ROOT


def paths_of(dataset):
    """Return the annotation file, and the folders of images and of labels, of a dataset's config."""
    prefix = dataset.data_prefix
    found = (dataset.get("ann_file"), prefix.get("img", prefix.get("img_path")), prefix.get("seg_map_path", prefix.get("seg")))
    return tuple(path.rstrip("/") for path in found if path)


@pytest.mark.parametrize("name", PUBLIC)
def test_paths_are_those_of_the_config(name):
    data = PUBLIC[name]
    cfg = read_config(ROOT / data.config)
    for split, paths in data.splits.items():
        (dataset,) = find_datasets(cfg[f"{split}_dataloader"].dataset)
        assert Path(dataset.data_root) == Path(data.folder)
        assert paths_of(dataset) == paths
    assert {part.path for part in data.parts} == {path for paths in data.splits.values() for path in paths}
    kind = dataset_class(dataset, cfg.default_scope)
    classes = read_metainfo(dataset, cfg.default_scope)["classes"]
    assert len(classes) == data.classes
    assert (kind.__name__ == data.labels) == bool(data.labels)
    if data.labels:
        empty = kind(data_root=None, lazy_init=True, serialize_data=False)
        assert (empty.seg_map_suffix, empty.reduce_zero_label) == (data.label_suffix, data.reduce_zero_label)
    for extra in data.extras:
        cfg = read_config(ROOT / extra.config)
        read = [path for split in ("train", "val") for path in paths_of(cfg[f"{split}_dataloader"].dataset)]
        assert {part.path for part in extra.parts} == set(read) - {path for _, path in data.splits.values()}


def test_images_that_do_not_exist_are_those_of_mmdet():
    from mmdet.datasets.objects365 import objv2_ignore_list

    assert PUBLIC["objects365"].absent == set(objv2_ignore_list)
    assert PUBLIC["objects365"].image_name("images/v1/patch8/a.jpg") == "patch8/a.jpg"
    assert PUBLIC["coco"].image_name("images/v1/a.jpg") == "images/v1/a.jpg"


def lay_out(root, data, leave_out=()):
    """Write empty files in the place of a data set's parts."""
    for part in (*data.parts, *(part for extra in data.extras for part in extra.parts)):
        path = root / part.path / f"a{part.suffix}" if part.suffix else root / part.path
        if part.path not in leave_out:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.mark.parametrize("name", PUBLIC)
def test_copies_are_recognised(name, tmp_path):
    data = PUBLIC[name]
    root = tmp_path / data.folder
    root.mkdir(parents=True)
    assert find_public(root) is None
    lay_out(root, data)
    assert find_public(root) == (root, data)
    assert find_public(root.parent) == ((root, data) if root.parent.name != "data" else None)
    assert find_public(root.parent, name) == (root, data)
    assert missing_parts(root, data) == ([], [])
    # Under another name, only if the user says so.
    other = root.rename(tmp_path / "other")
    assert find_public(other) is None
    assert find_public(other, name) == (other, data)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_missing_part_is_named_with_its_source(name, tmp_path):
    data = PUBLIC[name]
    for part in data.parts:
        root = tmp_path / part.path.replace("/", "_")
        lay_out(root, data, leave_out=(part.path,))
        faults, notes = missing_parts(root, data)
        assert faults == [f"'{root / part.path}' does not exist, which {data.config} reads: {part.source}"]
        assert notes == []
        assert "http" in part.source
        if part.suffix:
            (root / part.path).mkdir(parents=True)
            faults, _ = missing_parts(root, data)
            assert faults == [f"'{root / part.path}' has no *{part.suffix}, which {data.config} reads: {part.source}"]


def test_parts_of_other_tasks_are_needed_only_together(tmp_path):
    data = PUBLIC["coco"]
    (extra,) = data.extras
    lay_out(tmp_path / "none", data, leave_out=[part.path for part in extra.parts])
    faults, (note,) = missing_parts(tmp_path / "none", data)
    assert faults == []
    assert "panoptic_train2017.json' does not exist, which configs/coco/mask2former" in note
    lay_out(tmp_path / "half", data, leave_out=["annotations/panoptic_val2017"])
    (fault,), notes = missing_parts(tmp_path / "half", data)
    assert "annotations/panoptic_val2017' does not exist" in fault
    assert notes == []


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="data set 'imagenet' is unknown: choose one of coco, ade20k"):
        find_public(tmp_path, "imagenet")
    with pytest.raises(UserError, match="does not exist"):
        find_public(tmp_path / "none", "coco")
