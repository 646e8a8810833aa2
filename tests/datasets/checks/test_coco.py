"""COCO files that do not fit their config, their images or themselves."""

import contextlib
import copy
import io
import json
import math
import random

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmbeit3.datasets.checks import check_data, coco
from mmbeit3.datasets.coco_file import read_coco
from mmbeit3.datasets.coco_masks import mask_fault, masks_are_sound, polygon_limit
from mmbeit3.datasets.coco_objects import object_fault, read_columns
from mmbeit3.errors import UserError
from tests.datasets.checks.made import CLASSES, SIZES, coco_config, coco_content, write_coco

SPLITS = ("train", "val")


@pytest.fixture
def check(tmp_path):
    """Write a content and check a config of it."""

    def run(content, splits=SPLITS, masks=True, **changes):
        write_coco(tmp_path, content)
        check_data(coco_config(tmp_path, masks=masks, **changes), splits)

    return run


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


def test_sound_data(check):
    check(coco_content())
    check(coco_content(), masks=False)


def edit(function):
    content = coco_content()
    function(content)
    return content


REVERSED = edit(lambda c: c["categories"].reverse())


def test_labels_go_by_the_file(check):
    """mmdet numbers labels in the order of the file's categories, whatever the classes' is."""
    with pytest.raises(UserError, match=r"class number 0 is 'blue' in .*, but 'red' in the config's classes") as error:
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
    with pytest.raises(UserError, match="val_dataloader and train_dataloader have different classes: number 0 is 'blue'"):
        check_data(changed, SPLITS)


def test_objects365_sorts_its_categories(check):
    content = edit(lambda c: c["categories"].reverse())
    check(content, splits=("train",), type="Objects365V1Dataset")
    with pytest.raises(UserError, match="numbers labels by id"):
        check(content, splits=("train",), type="Objects365V1Dataset", metainfo={"classes": CLASSES[::-1]})


def test_classes_on_purpose(tmp_path):
    write_coco(tmp_path)
    cfg = coco_config(tmp_path, metainfo={"classes": ("green",)})
    with pytest.raises(UserError, match=r"data_checks=dict\(allow=\['other_categories'\]\)"):
        check_data(cfg, SPLITS)
    check_data({**cfg, "data_checks": {"allow": ["other_categories"]}}, SPLITS)
    check_data({**cfg, "data_checks": {"allow": "other_categories"}}, SPLITS)
    with pytest.raises(UserError, match="there is no 'everything'; there are other_categories"):
        check_data({**cfg, "data_checks": {"allow": ["everything"]}}, SPLITS)


@pytest.mark.parametrize("classes", [("red", "green", "red"), ()])
def test_class_names(check, classes):
    with pytest.raises(UserError, match="name each class once"):
        check(coco_content(), metainfo={"classes": classes})


def first(content, kind="annotations"):
    return content[kind][0]


FAULTS = [
    (
        lambda c: first(c).update(id=0),
        r"val_evaluator: '.*' cannot be scored by: an annotation has id 0, which COCO's evaluation takes for no object",
    ),
    (lambda c: first(c).update(id=3), r"annotation number 3 \(id 3\) has the id of another"),
    (lambda c: first(c).update(id="1"), "no integer from 0"),
    (lambda c: first(c).pop("bbox"), r"annotation number 1 \(id 1\) has no 'bbox'"),
    (lambda c: first(c).pop("area"), "has no 'area'"),
    (lambda c: first(c).update(bbox=[1, 2, 3]), "not four numbers"),
    (lambda c: first(c).update(bbox=[1, 2, -3, 4]), "negative size"),
    (lambda c: first(c).update(bbox=[1, 2, math.nan, 4]), "NaN, which is no JSON number"),
    (lambda c: first(c).update(image_id=99), "is of image 99, which is not among the file's images"),
    (lambda c: first(c).update(image_id="10"), "is of image '10'"),
    (lambda c: first(c).update(category_id=1), "category id 1, which is not among the file's categories"),
    (lambda c: first(c).update(iscrowd=2), "neither 0 nor 1"),
    (lambda c: first(c).pop("iscrowd"), "val_evaluator: '.*' cannot be scored by: annotation 1 has no 'iscrowd'"),
    (lambda c: first(c).update(segmentation=[]), "1 of 7 annotations of .* have none"),
    (lambda c: first(c).pop("segmentation"), "needs masks, and 1 of 7"),
    (lambda c: first(c).update(segmentation=[[1, 2, 3, 4]]), "annotation 1 has a polygon of 2 points: three are the least"),
    (lambda c: first(c).update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "an odd number"),
    (lambda c: first(c).update(segmentation=[1, 2, 3, 4, 5, 6]), "a polygon that is a int"),
    (lambda c: first(c).update(segmentation=[[1, 2, "3", 4, 5, 6]]), "not all numbers"),
    (lambda c: first(c).update(segmentation=[[1, 2, 1e12, 4, 5, 6]]), "reaches to 1e[+]12, far beyond any image"),
    (lambda c: first(c).update(bbox=[1, 2, 300, 4]), "annotation 1 reaches far beyond its image"),
    (
        lambda c: [a["bbox"].__setitem__(slice(2, 4), [a["bbox"][0] + a["bbox"][2], 46]) for a in c["annotations"]],
        r"reach beyond their images.*x, y, width, height in pixels.*allow=\['boxes_beyond'\]",
    ),
    (
        lambda c: first(c).update(segmentation={"size": [64, 48], "counts": "abc"}),
        r"size \[64, 48\] .* but its image is 48 x 64",
    ),
    (lambda c: first(c).update(segmentation={"size": [48, 64], "counts": "abc"}), "runs do not add up"),
    (lambda c: first(c).update(segmentation={"size": [48, 64], "counts": [48, 64]}), "runs do not add up"),
    (lambda c: first(c, "images").update(id=11), "2 images have the id 11"),
    (
        lambda c: first(c, "images").update(file_name="1.jpg", width=40, height=56),
        r"image '1.jpg' 2 times.*allow=\['repeated_images'\]",
    ),
    (lambda c: first(c, "images").update(file_name=None), "'file_name' of image number 1 .* is null, not a text"),
    (lambda c: first(c, "images").update(width=0), "state its size"),
    (lambda c: first(c, "images").update(width=64.0), "is 64.0, not an integer"),
    (lambda c: first(c, "images").pop("height"), "has no 'height'"),
    (lambda c: first(c, "images").update(width=48, height=64), "is 64 x 48 pixels .* annotations are for 48 x 64"),
    (lambda c: [one.update(width=20, height=20) for one in c["images"]], "is 64 x 48 pixels .* annotations are for 20 x 20"),
    (lambda c: first(c, "images").update(file_name="none.jpg"), r"none.jpg' of .* does not exist \(1 of 3 are missing\)"),
    (
        lambda c: [one.update(file_name=one["file_name"][:-3] + "png") for one in c["images"]],
        r"none of the 3 images .* \(it holds 3 .jpg\)",
    ),
    (lambda c: first(c, "categories").update(name="green"), '2 categories have the name "green"'),
    (lambda c: first(c, "categories").update(id=10), "2 categories have the id 10"),
    (lambda c: first(c, "categories").pop("name"), "category number 1 .* has no 'name'"),
    (lambda c: c.pop("images"), "its list 'images' is missing"),
    (lambda c: c.update(categories={}), "its list 'categories' is a dict"),
    (lambda c: c.update(annotations=[]), "has no annotations"),
    (lambda c: c["annotations"].append("x"), "annotation number 8 is a str, not an object"),
    (lambda c: [one.update(bbox=[0.1, 0.1, 0.2, 0.2]) for one in c["annotations"]], "is less than a pixel wide or high"),
    (
        lambda c: [one.update(bbox=[64, 57, 9, 9]) for one in c["annotations"]],
        r"7 boxes of .* cannot be used, and mmdet drops them; the first: .* lies outside its image",
    ),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS)
def test_faults(check, change, reason):
    with pytest.raises(UserError, match=reason) as error:
        check(edit(change))
    one_line(error)


def test_no_masks_are_needed_for_boxes(check):
    for change in (lambda a: a.pop("segmentation"), lambda a: a.update(segmentation=[[1, 2]])):
        check(edit(lambda c, change=change: [change(one) for one in c["annotations"]]), masks=False)


def test_boxes_alone_and_a_mask_head_names_what_to_change(tmp_path):
    write_coco(tmp_path, edit(lambda c: [one.pop("segmentation") for one in c["annotations"]]))
    cfg = coco_config(tmp_path)
    with pytest.raises(UserError, match="add masks, or take a config without masks"):
        check_data(cfg, SPLITS)
    with pytest.raises(UserError, match=r"for boxes alone set model.roi_head.mask_head=None, with_mask=False"):
        check_data({**cfg, "model": {"roi_head": {"mask_head": {"num_classes": 3}}}}, SPLITS)


def test_ground_truth_of_other_images(tmp_path):
    """Training and validation sets often count their images from 1, both."""
    write_coco(tmp_path)
    other = edit(lambda c: first(c, "images").update(file_name="other.jpg"))
    write_coco(tmp_path, other, "other.json")
    more = edit(lambda c: c["images"].append({"id": 99, "file_name": "more.jpg", "width": 5, "height": 5}))
    write_coco(tmp_path, more, "more.json")
    cfg = coco_config(tmp_path)
    cfg["val_evaluator"]["ann_file"] = str(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"image 10 is '0.jpg' in .*, and 'other.jpg' in the ground truth"):
        check_data(cfg, SPLITS)
    cfg["val_evaluator"]["ann_file"] = str(tmp_path / "more.json")
    with pytest.raises(UserError, match=r"has 1 images that the data lack, such as 'more.jpg', whose objects would count as"):
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
    with pytest.raises(UserError, match=r"is 48 x 64 pixels .* for 64 x 48: its EXIF orientation turns it; set color_type="):
        check_data(cfg, SPLITS)
    for split in SPLITS:
        cfg[f"{split}_dataloader"]["dataset"]["pipeline"][0]["color_type"] = "color_ignore_orientation"
    check_data(cfg, SPLITS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"0.jpg' is truncated"):
        check_data(cfg, ("val",))


def test_a_few_unusable_boxes_are_logged(tmp_path, monkeypatch):
    """COCO's own files have some."""
    write_coco(tmp_path, edit(lambda c: first(c).update(bbox=[3, 3, 5, 0])))
    logged = []
    monkeypatch.setattr(coco, "print_log", lambda message, *_: logged.append(message))
    check_data(coco_config(tmp_path), SPLITS)
    assert [message.partition(" of '")[0] for message in logged] == [f"{split}_dataloader: 1 of 7 boxes" for split in SPLITS]


VALUES = (None, "", "x", -1, 0, 1, 1.5, True, [], {}, [1, 2, 3, 4], 10**30, "10", 1e308)


def break_content(content, rng):
    """Break a content in one of many ways, chosen by chance."""
    kind = rng.choice(["annotations", "annotations", "annotations", "images", "categories"])
    entry = rng.choice(content[kind])
    field = rng.choice(list(entry))
    ways = {
        "drop": lambda: entry.pop(field),
        "set": lambda: entry.update({field: copy.deepcopy(rng.choice(VALUES))}),
        "within": lambda: _set_within(entry, field, rng),
        "copy": lambda: content[kind].append(copy.deepcopy(entry)),
        "swap": lambda: entry.update({field: copy.deepcopy(rng.choice(content[kind]).get(field))}),
        "remove": lambda: content[kind].remove(entry),
        "reverse": lambda: content[kind].reverse(),
        "shuffle": lambda: rng.shuffle(content["categories"]),
        "replace": lambda: content.update({kind: copy.deepcopy(rng.choice(VALUES))}),
        "entry": lambda: content[kind].append(copy.deepcopy(rng.choice(VALUES))),
        "forget": lambda: content.pop(kind),
        "sizes": lambda: [one.update(width=one["height"], height=one["width"]) for one in content["images"]],
        "corners": lambda: [
            a["bbox"].__setitem__(slice(2, 4), [a["bbox"][0] + a["bbox"][2], 45]) for a in content["annotations"]
        ],
        "fractions": lambda: [a.update(bbox=[v / 64 for v in a["bbox"]]) for a in content["annotations"]],
    }
    ways[rng.choice(list(ways))]()


def _set_within(entry, field, rng):
    value = entry[field]
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and value:
        value[rng.randrange(len(value))] = rng.choice(VALUES)
    elif isinstance(value, dict):
        value[rng.choice(list(value))] = rng.choice(VALUES)


def expected_objects(content, file):
    """Names and boxes of what is trained on, by image: straight from the JSON."""
    names = {one["id"]: one["name"] for one in content["categories"]}
    found = {one["id"]: [] for one in content["images"]}
    for one, dropped in zip(content["annotations"], file.dropped, strict=True):
        if not dropped:
            x, y, w, h = one["bbox"]
            found[one["image_id"]].append((names[one["category_id"]], [x, y, x + w, y + h]))
    return found


def score_of_the_truth(path, content):
    """Box AP of a file's own objects as detections, by pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        objects = [one for one in content["annotations"] if not one.get("iscrowd")]
        found = truth.loadRes([{k: one[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0} for one in objects])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_faulty_files_are_refused_or_right(tmp_path):
    """Of 400 files with faults made by chance, none crashes later, and none is read as something else than it says."""
    init_default_scope("mmdet")
    rng = random.Random(0)
    refused, messages = 0, []
    for _ in range(400):
        content = coco_content()
        for _ in range(rng.choice((1, 1, 2))):
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):
                break_content(content, rng)
        path = write_coco(tmp_path, content)
        if rng.random() < 0.05:
            path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
        cfg = coco_config(tmp_path)
        try:
            check_data(cfg, SPLITS)
        except UserError as error:
            refused += 1
            messages.append(str(error))
            continue
        file = read_coco(path)
        wanted = expected_objects(content, file)
        dataset = DATASETS.build(cfg["train_dataloader"]["dataset"])
        for sample in dataset:
            labels = [CLASSES[label] for label in sample["gt_bboxes_labels"]]
            boxes = sample["gt_bboxes"].numpy().tolist()
            assert len(sample["gt_masks"]) == len(labels)
            assert sorted(zip(labels, boxes, strict=True)) == sorted(
                (name, np.float32(box).tolist()) for name, box in wanted[sample["img_id"]]
            )
        if not file.dropped.any():
            assert score_of_the_truth(path, content) == pytest.approx(1.0), content
    assert 250 < refused < 395
    assert not [message for message in messages if "\n" in message]


def test_columns_and_single_objects_agree():
    """The fast form of each check and the one that explains find the same faults."""
    rng = random.Random(1)
    outcomes = {True: 0, False: 0}
    for _ in range(1500):
        content = coco_content()
        entry = rng.choice(content["annotations"])
        field = rng.choice(list(entry))
        if rng.random() < 0.5:
            entry[field] = copy.deepcopy(rng.choice(VALUES))
        else:
            _set_within(entry, field, rng)
        images = {one["id"]: (one["file_name"], one["width"], one["height"]) for one in content["images"]}
        names = {one["id"]: one["name"] for one in content["categories"]}
        objects = content["annotations"]
        ids = [one["id"] for one in objects]
        singly = all(object_fault(one, images, names) is None for one in objects) and len({*map(repr, ids)}) == len(ids)
        if True not in ids:
            assert (read_columns(objects, images, names) is not None) == singly, entry
        if singly:
            masks = all(mask_fault(one, images, polygon_limit(images)) is None for one in objects)
            assert masks_are_sound(objects, images) == masks, entry
            outcomes[masks] += 1
    assert min(outcomes.values()) > 100


def test_panoptic_files(tmp_path):
    """See tests/datasets/test_shapes.py for a sound one."""
    from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset

    folder = make_shapes_dataset(tmp_path / "shapes", train=2, val=1, size=64)
    path = folder / "annotations" / "panoptic_train2017.json"
    content = json.loads(path.read_text())
    classes = THING_CLASSES + STUFF_CLASSES
    dataset = {
        "type": "CocoPanopticDataset",
        "data_root": str(folder),
        "ann_file": "annotations/panoptic_train2017.json",
        "data_prefix": {"img": "train2017/", "seg": "annotations/panoptic_train2017/"},
        "metainfo": {"classes": classes, "thing_classes": THING_CLASSES, "stuff_classes": STUFF_CLASSES},
        "pipeline": [{"type": "LoadImageFromFile"}],
    }
    head = {"num_things_classes": len(THING_CLASSES), "num_stuff_classes": len(STUFF_CLASSES)}
    cfg = {"default_scope": "mmdet", "train_dataloader": {"dataset": dataset}, "model": {"panoptic_head": head}}

    def refused(change, reason):
        broken = copy.deepcopy(content)
        change(broken)
        path.write_text(json.dumps(broken))
        with pytest.raises(UserError, match=reason) as error:
            check_data(cfg, ("train",))
        one_line(error)

    check_data(cfg, ("train",))
    segments = "segments_info"
    refused(lambda c: c["categories"].reverse(), "mmdet numbers labels")
    refused(lambda c: c["categories"][0].update(isthing=0), "is stuff in .*, but class number 0")
    refused(lambda c: c["categories"][0].pop("isthing"), "has no 'isthing'")
    refused(lambda c: c["annotations"].pop(), r"has no panoptic annotation \(1 images have none\)")
    refused(lambda c: first(c)[segments][0].update(category_id=99), "category id 99")
    refused(lambda c: first(c)[segments][0].pop("area"), "has no 'area'")
    refused(lambda c: first(c)[segments][0].update(id=first(c)[segments][1]["id"]), "2 segments of image")
    refused(lambda c: first(c)[segments][0].update(id=0), "not in 1 to 16777215")
    refused(lambda c: first(c)[segments][0].update(id="a"), 'is "a", not an integer')
    refused(lambda c: first(c).update(file_name="other.png"), "is 'other.png' in .*, but mmdet reads")
    path.write_text(json.dumps(content))
    png = folder / "annotations" / "panoptic_train2017" / first(content)["file_name"]
    Image.open(png).resize((32, 32)).save(png)
    with pytest.raises(UserError, match=r"panoptic PNG .* is 32 x 32 pixels .* but its image 64 x 64"):
        check_data(cfg, ("train",))
    png.unlink()
    with pytest.raises(UserError, match=r"does not exist \(1 of 2 are missing\)"):
        check_data(cfg, ("train",))


def test_other_formats_are_left_alone(tmp_path):
    """LVIS's files, which mmdet reads by a class of its own, name no image files."""
    write_coco(tmp_path, edit(lambda c: [one.pop("file_name") for one in c["images"]]))
    cfg = coco_config(tmp_path, type="LVISV1Dataset", metainfo={"classes": CLASSES})
    check_data({"default_scope": "mmdet", "train_dataloader": cfg["train_dataloader"]}, ("train",))

    class Own(CocoDataset):
        """One that only parses differently is checked."""

    cfg = coco_config(tmp_path, type=Own)
    with pytest.raises(UserError, match="has no 'file_name'"):
        check_data(cfg, ("train",))


def test_sizes_are_those_of_made_images():
    assert [one["width"] for one in coco_content()["images"]] == [width for width, _ in SIZES]
