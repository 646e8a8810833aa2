"""COCO files with one invalid entry."""

import math

import pytest

from mmbeit3.errors import UserError
from tests.datasets.checks.made import edit, first, one_line

FAULTS = [
    (
        lambda c: first(c).update(id=0),
        r"val_evaluator: '.*' cannot be the ground truth: an annotation has id 0, which COCO's evaluation treats as no match",
    ),
    (lambda c: first(c).update(id=3), r"annotation number 3 \(id 3\) has the same id as another one"),
    (lambda c: first(c).update(id="1"), "not an integer from 0"),
    (lambda c: first(c).pop("bbox"), r"annotation number 1 \(id 1\) has no 'bbox'"),
    (lambda c: first(c).pop("area"), "has no 'area'"),
    (lambda c: first(c).update(bbox=[1, 2, 3]), "write four numbers, x, y, width, height"),
    (lambda c: first(c).update(bbox=[1, 2, -3, 4]), "negative size"),
    (lambda c: first(c).update(bbox=[1, 2, math.nan, 4]), "has NaN in 'bbox', which is not a number in JSON"),
    (lambda c: first(c).update(image_id=99), "has the image_id 99, which is not in the file's 'images'"),
    (lambda c: first(c).update(image_id="10"), "has the image_id '10'"),
    (lambda c: first(c).update(category_id=1), "category_id 1, which is not in the file's 'categories'"),
    (lambda c: first(c).update(iscrowd=2), "'iscrowd' 2: write 0 or 1"),
    (lambda c: first(c).pop("iscrowd"), "val_evaluator: '.*' cannot be the ground truth: annotation 1 has no 'iscrowd'"),
    (lambda c: first(c).update(segmentation=[]), "1 of 7 annotations of .* have none"),
    (lambda c: first(c).pop("segmentation"), "needs masks, and 1 of 7"),
    (
        lambda c: first(c).update(segmentation=[[1, 2, 3, 4]]),
        "annotation 1 has a polygon of 2 points: write at least three points, or remove the annotation",
    ),
    (lambda c: first(c).update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "an odd number"),
    (lambda c: first(c).update(segmentation=[1, 2, 3, 4, 5, 6]), "a polygon of type int"),
    (lambda c: first(c).update(segmentation=[[1, 2, "3", 4, 5, 6]]), "a coordinate that is not a number"),
    (lambda c: first(c).update(segmentation=[[1, 2, 1e12, 4, 5, 6]]), "with the coordinate 1e[+]12, far beyond any image"),
    (lambda c: first(c).update(bbox=[1, 2, 300, 4]), "annotation 1 reaches far beyond its image"),
    (
        lambda c: [a["bbox"].__setitem__(slice(2, 4), [a["bbox"][0] + a["bbox"][2], 46]) for a in c["annotations"]],
        r"reach beyond their images.*x, y, width, height in pixels.*allow=\['boxes_beyond'\]",
    ),
    (
        lambda c: first(c).update(segmentation={"size": [64, 48], "counts": "abc"}),
        r"size \[64, 48\] .* but its image is 48 x 64",
    ),
    (
        lambda c: first(c).update(segmentation={"size": [48, 64], "counts": "abc"}),
        "run lengths do not add up to its image's 3072 pixels",
    ),
    (
        lambda c: first(c).update(segmentation={"size": [48, 64], "counts": [48, 64]}),
        "run lengths do not add up to its image's 3072 pixels",
    ),
    (lambda c: first(c, "images").update(id=11), "2 images have the id 11"),
    (
        lambda c: first(c, "images").update(file_name="1.jpg", width=40, height=56),
        r"image '1.jpg' 2 times.*allow=\['repeated_images'\]",
    ),
    (lambda c: first(c, "images").update(file_name=None), "'file_name' of image number 1 .* is null: write a string"),
    (lambda c: first(c, "images").update(width=0), "is 0 x 48 pixels: write its real width"),
    (lambda c: first(c, "images").update(width=64.0), "is 64.0: write an integer"),
    (lambda c: first(c, "images").pop("height"), "has no 'height'"),
    (lambda c: first(c, "images").update(width=48, height=64), "is 64 x 48 pixels .* annotations are for 48 x 64"),
    (lambda c: [one.update(width=20, height=20) for one in c["images"]], "is 64 x 48 pixels .* annotations are for 20 x 20"),
    (lambda c: first(c, "images").update(file_name="none.jpg"), r"none.jpg' of .* does not exist \(1 of 3 are missing\)"),
    (
        lambda c: [one.update(file_name=one["file_name"][:-3] + "png") for one in c["images"]],
        r"none of the 3 images .* \(the folder contains 3 .jpg\)",
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
        r"7 boxes of .* are invalid, and mmdet drops them; the first: .* lies outside its image",
    ),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS)
def test_faults(check, change, reason):
    with pytest.raises(UserError, match=reason) as error:
        check(edit(change))
    one_line(error)
