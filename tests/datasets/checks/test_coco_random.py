"""COCO files with random faults."""

import contextlib
import copy
import io
import random

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmbeit3.datasets.checks import check_data
from mmbeit3.datasets.coco_file import read_coco
from mmbeit3.datasets.coco_masks import mask_fault, masks_are_valid, polygon_limit
from mmbeit3.datasets.coco_objects import object_fault, read_columns
from mmbeit3.errors import UserError
from tests.datasets.checks.made import CLASSES, SPLITS, coco_config, coco_content, write_coco

VALUES = (None, "", "x", -1, 0, 1, 1.5, True, [], {}, [1, 2, 3, 4], 10**30, "10", 1e308)


def break_content(content, rng):
    """Break a content in one random way."""
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
    """Read the class names and boxes that training should use, by image id, directly from the JSON."""
    names = {one["id"]: one["name"] for one in content["categories"]}
    found = {one["id"]: [] for one in content["images"]}
    for one, dropped in zip(content["annotations"], file.dropped, strict=True):
        if not dropped:
            x, y, w, h = one["bbox"]
            found[one["image_id"]].append((names[one["category_id"]], [x, y, x + w, y + h]))
    return found


def score_of_the_truth(path, content):
    """Compute the box AP of a file's own objects as detections, with pycocotools."""
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
    """Of 160 files with random faults, each is refused, or mmdet reads exactly what it contains."""
    init_default_scope("mmdet")
    rng = random.Random(0)
    refused, messages = 0, []
    for _ in range(160):
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
    assert 100 < refused < 158
    assert not [message for message in messages if "\n" in message]


def test_columns_and_single_objects_agree():
    """The fast check on arrays and the check that explains the fault agree."""
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
            assert masks_are_valid(objects, images) == masks, entry
            outcomes[masks] += 1
    assert min(outcomes.values()) > 100
