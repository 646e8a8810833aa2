"""Small valid data in COCO's and mmseg's formats, for tests that break them."""

import json

import numpy as np
from PIL import Image

CLASSES = ("red", "green", "blue")
SPLITS = ("train", "val")

SIZES = ((64, 48), (40, 56), (50, 50))
"""Width and height of the images."""


def coco_content():
    """Return the content of a COCO file: three images with seven objects, one of them a crowd in RLE."""
    images = [
        {"id": 10 + i, "file_name": f"{i}.jpg", "width": width, "height": height} for i, (width, height) in enumerate(SIZES)
    ]
    annotations = []
    for number, (image, category) in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 2), (2, 3), (2, 1)], start=1):
        x, y, w, h = 4 + 3 * number, 2 + 2 * number, 10 + number, 9.5
        annotations.append(
            {
                "id": number,
                "image_id": 10 + image,
                "category_id": 5 * category,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    crowd = {"size": [50, 50], "counts": [100, 200, 2200]}
    annotations[-1].update(iscrowd=1, segmentation=crowd, bbox=[2, 0, 4, 50], area=200)
    categories = [{"id": 5 * i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def edit(change):
    """Return the content of :func:`coco_content` after a change in place."""
    content = coco_content()
    change(content)
    return content


def first(content, kind="annotations"):
    """Return the first entry of one of a content's lists."""
    return content[kind][0]


def one_line(error):
    """Return the message of a caught error, which must be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def write_coco(folder, content=None, name="coco.json"):
    """Write images and their annotations. Return the path of the annotation file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i, (width, height) in enumerate(SIZES):
        path = folder / "images" / f"{i}.jpg"
        if not path.exists():
            Image.fromarray(np.full((height, width, 3), 40 * i, np.uint8)).save(path)
    path = folder / name
    path.write_text(json.dumps(coco_content() if content is None else content))
    return path


def coco_config(folder, name="coco.json", masks=True, **changes):
    """Return a config that trains and evaluates on the file of :func:`write_coco`."""
    metrics = ["bbox", "segm"] if masks else ["bbox"]
    dataset = {
        "type": "CocoDataset",
        "data_root": str(folder),
        "ann_file": name,
        "data_prefix": {"img": "images/"},
        "metainfo": {"classes": CLASSES},
        "pipeline": [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "with_mask": masks}],
        **changes,
    }
    return {
        "default_scope": "mmdet",
        "train_dataloader": {"dataset": dataset},
        "val_dataloader": {"dataset": {**dataset, "test_mode": True}},
        "val_evaluator": {"type": "CocoMetric", "ann_file": str(folder / name), "metric": metrics},
    }


def write_labels(folder, labels=None, images=4, size=(32, 24), suffix=".jpg"):
    """Write images and label images of three classes. ``labels`` maps indices to arrays or bytes to write instead."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i in range(images):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(folder / "images" / f"{i}{suffix}")
        label = (labels or {}).get(i, rng.integers(0, 3, (size[1], size[0]), np.uint8))
        path = folder / "labels" / f"{i}.png"
        if isinstance(label, bytes):
            path.write_bytes(label)
        else:
            Image.fromarray(label).save(path)


def label_config(folder, classes=CLASSES, **changes):
    """Return a config that trains and evaluates on the files of :func:`write_labels`."""
    dataset = {
        "type": "BaseSegDataset",
        "data_root": str(folder),
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "metainfo": {"classes": classes},
        "pipeline": [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
        **changes,
    }
    return {
        "default_scope": "mmseg",
        "train_dataloader": {"dataset": dataset},
        "val_dataloader": {"dataset": dict(dataset)},
        "val_evaluator": {"type": "IoUMetric"},
    }
