"""Small folders of data as users have them, for tests of recipes and of the inspection."""

import json

import numpy as np
from PIL import Image

from tests.datasets.checks.made import CLASSES

WIDTH, HEIGHT = 64, 48


def write_image(path, seed, size=(WIDTH, HEIGHT)):
    """Write an image of noise, which has its own content for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)


def coco_folder(root, train=4, val=2, masks=False, unsplit=False):
    """Write images and COCO files with two objects per image: class 0 everywhere, class 1 or 2 in turn."""
    splits = {"all": train + val} if unsplit else {"train": train, "val": val}
    number = 0
    for split, count in splits.items():
        images, annotations = [], []
        for _ in range(count):
            write_image(root / "images" / f"{number}.jpg", number)
            images.append({"id": number + 1, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT})
            for part in range(2):
                box = [4 + 30 * part, 4, 20, 30]
                one = {"id": 2 * number + part + 1, "image_id": number + 1, "bbox": box, "area": 600, "iscrowd": 0}
                one["category_id"] = 5 if part == 0 else 10 + 5 * (number % 2)
                if masks:
                    x, y, w, h = box
                    one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
                annotations.append(one)
            number += 1
        categories = [{"id": 5 * i, "name": name} for i, name in enumerate(CLASSES, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def label_folder(root, train=4, val=2, first=0, suffix=".jpg", split=True):
    """Write images and label images of three classes, which count from ``first``; the first row is unlabelled."""
    for number in range(train + val):
        part = ("train/" if number < train else "val/") if split else ""
        write_image(root / "images" / f"{part}{number}{suffix}", number)
        labels = np.repeat(np.arange(first, first + 3, dtype=np.uint8), HEIGHT // 3)[:, None].repeat(WIDTH, 1)
        labels[0] = 0 if first else 255
        path = root / "labels" / f"{part}{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root
