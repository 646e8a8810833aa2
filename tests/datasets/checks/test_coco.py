"""COCO files that do not fit the config or the images."""

import copy

import pytest
from mmdet.datasets import CocoDataset
from PIL import Image

from mmbeit3.datasets.checks import check_data, coco
from mmbeit3.errors import UserError
from tests.datasets.checks.made import CLASSES, SIZES, SPLITS, coco_config, coco_content, edit, first, one_line, write_coco


def test_sound_data(check):
    check(coco_content())
    check(coco_content(), masks=False)


REVERSED = edit(lambda c: c["categories"].reverse())


def test_labels_go_by_the_file(check):
    """mmdet numbers labels in the order of the file's categories, not of the classes."""
    with pytest.raises(UserError, match=r"class 0 is 'blue' in .*, but 'red' in the config's classes") as error:
        check(REVERSED)
    one_line(error)
    check(REVERSED, metainfo={"classes": CLASSES[::-1]})


def test_order_in_every_split_and_wrapper(tmp_path):
    write_coco(tmp_path)
    write_coco(tmp_path, REVERSED, "reversed.json")
    cfg = coco_config(tmp_path)
    for place in ("train_dataloader", "val_dataloader"):
        changed = copy.deepcopy(cfg)
        changed[place]["dataset"]["ann_file"] = "reversed.json"
        with pytest.raises(UserError, match=f"{place}: mmdet numbers labels"):
            check_data(changed, SPLITS)
        inner = changed[place]["dataset"]
        changed[place]["dataset"] = {
            "type": "ConcatDataset",
            "datasets": [cfg[place]["dataset"], {"type": "RepeatDataset", "dataset": inner}],
        }
        with pytest.raises(UserError, match=f"{place}: mmdet numbers labels"):
            check_data(changed, SPLITS)
    changed = copy.deepcopy(cfg)
    changed["val_evaluator"]["ann_file"] = str(tmp_path / "reversed.json")
    with pytest.raises(UserError, match="val_evaluator: mmdet numbers labels"):
        check_data(changed, SPLITS)
    # Sorted by id, as Objects365's are, both are the same.
    changed["val_evaluator"]["sort_categories"] = True
    check_data(changed, SPLITS)
    changed = copy.deepcopy(cfg)
    changed["val_dataloader"]["dataset"]["metainfo"] = {"classes": CLASSES[::-1]}
    changed["val_dataloader"]["dataset"]["ann_file"] = "reversed.json"
    with pytest.raises(
        UserError, match="val_dataloader and train_dataloader have different classes: class 0 is 'blue' in val_dataloader"
    ):
        check_data(changed, SPLITS)


def test_objects365_sorts_its_categories(check):
    content = edit(lambda c: c["categories"].reverse())
    check(content, splits=("train",), type="Objects365V1Dataset")
    with pytest.raises(UserError, match="numbers labels by category id"):
        check(content, splits=("train",), type="Objects365V1Dataset", metainfo={"classes": CLASSES[::-1]})


def test_classes_on_purpose(tmp_path):
    write_coco(tmp_path)
    cfg = coco_config(tmp_path, metainfo={"classes": ("green",)})
    with pytest.raises(UserError, match=r"data_checks=dict\(allow=\['other_categories'\]\)"):
        check_data(cfg, SPLITS)
    check_data({**cfg, "data_checks": {"allow": ["other_categories"]}}, SPLITS)
    check_data({**cfg, "data_checks": {"allow": "other_categories"}}, SPLITS)
    with pytest.raises(UserError, match="'everything' is unknown: give some of other_categories"):
        check_data({**cfg, "data_checks": {"allow": ["everything"]}}, SPLITS)


@pytest.mark.parametrize("classes", [("red", "green", "red"), ()])
def test_class_names(check, classes):
    with pytest.raises(UserError, match="name each class once"):
        check(coco_content(), metainfo={"classes": classes})


def test_no_masks_are_needed_for_boxes(check):
    for change in (lambda a: a.pop("segmentation"), lambda a: a.update(segmentation=[[1, 2]])):
        check(edit(lambda c, change=change: [change(one) for one in c["annotations"]]), masks=False)


def test_boxes_alone_and_a_mask_head_names_what_to_change(tmp_path):
    write_coco(tmp_path, edit(lambda c: [one.pop("segmentation") for one in c["annotations"]]))
    cfg = coco_config(tmp_path)
    with pytest.raises(UserError, match="add masks, or use a config without masks"):
        check_data(cfg, SPLITS)
    with pytest.raises(UserError, match=r"boxes only, use configs/mine/detection\.py, or set model\.roi_head\.mask_head=None"):
        check_data({**cfg, "model": {"roi_head": {"mask_head": {"num_classes": 3}}}}, SPLITS)


def test_ground_truth_of_other_images(tmp_path):
    """Image ids alone do not show it: training and validation files often both count images from 1."""
    write_coco(tmp_path)
    other = edit(lambda c: first(c, "images").update(file_name="other.jpg"))
    write_coco(tmp_path, other, "other.json")
    more = edit(lambda c: c["images"].append({"id": 99, "file_name": "more.jpg", "width": 5, "height": 5}))
    write_coco(tmp_path, more, "more.json")
    cfg = coco_config(tmp_path)
    cfg["val_evaluator"]["ann_file"] = str(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"image 10 is '0.jpg' in .*, but 'other.jpg' in the ground truth"):
        check_data(cfg, SPLITS)
    cfg["val_evaluator"]["ann_file"] = str(tmp_path / "more.json")
    with pytest.raises(
        UserError, match=r"has 1 images that the dataset does not have, such as 'more.jpg', whose objects would count as"
    ):
        check_data(cfg, SPLITS)
    check_data({**cfg, "data_checks": {"allow": ["unscored_images"]}}, SPLITS)


def test_images_that_are_turned_or_damaged(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "images" / "0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "turned.jpg").rename(path)
    cfg = coco_config(tmp_path)
    with pytest.raises(UserError, match=r"is 48 x 64 pixels .* for 64 x 48: its EXIF orientation rotates it; set color_type="):
        check_data(cfg, SPLITS)
    for split in SPLITS:
        cfg[f"{split}_dataloader"]["dataset"]["pipeline"][0]["color_type"] = "color_ignore_orientation"
    check_data(cfg, SPLITS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"0.jpg' is truncated"):
        check_data(cfg, ("val",))


def test_a_few_unusable_boxes_are_logged(tmp_path, monkeypatch):
    """COCO's files have a few such boxes."""
    write_coco(tmp_path, edit(lambda c: first(c).update(bbox=[3, 3, 5, 0])))
    logged = []
    monkeypatch.setattr(coco, "print_log", lambda message, *_: logged.append(message))
    check_data(coco_config(tmp_path), SPLITS)
    assert [message.partition(" of '")[0] for message in logged] == [f"{split}_dataloader: 1 of 7 boxes" for split in SPLITS]


def test_other_formats_are_left_alone(tmp_path):
    """LVIS files have no 'file_name'; mmdet reads them with another class."""
    write_coco(tmp_path, edit(lambda c: [one.pop("file_name") for one in c["images"]]))
    cfg = coco_config(tmp_path, type="LVISV1Dataset", metainfo={"classes": CLASSES})
    check_data({"default_scope": "mmdet", "train_dataloader": cfg["train_dataloader"]}, ("train",))

    class Own(CocoDataset):
        """Subclass that only changes parsing; it is checked."""

    cfg = coco_config(tmp_path, type=Own)
    with pytest.raises(UserError, match="has no 'file_name'"):
        check_data(cfg, ("train",))


def test_sizes_are_those_of_made_images():
    assert [one["width"] for one in coco_content()["images"]] == [width for width, _ in SIZES]
