"""Each fault of data that ``prepare_data.py --check`` names: its words, and exit status 2."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.datasets.folders import HEIGHT, WIDTH, coco_folder, label_folder, write_image
from tests.tools.calls import refused

IMAGE, LABEL = "images/0.jpg", "labels/train/0.png"
PIXELS = "'bbox' is x, y, width, height in pixels"


def cut(path, size):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:size])


def edit(change):
    """Change the training annotations. Their objects are 1 to 8, two per image."""

    def damage(root):
        content = json.loads((root / "train.json").read_text())
        change(content)
        (root / "train.json").write_text(json.dumps(content))

    return damage


def first(**fields):
    return edit(lambda content: content["annotations"][0].update(fields))


def labels(change, path="labels/train/0.png"):
    """Change the numbers of label images, uint8 (H, W) with the classes 0 to 2 and 255."""

    def damage(root):
        for file in root.glob(path):
            Image.fromarray(change(np.asarray(Image.open(file)))).save(file)

    return damage


COCO = {
    "truncated image": (cut(IMAGE, -200), "train: image '{}/images/0.jpg' is truncated: replace or remove it"),
    "half an image": (cut(IMAGE, 1000), "train: image '{}/images/0.jpg' is truncated: replace or remove it"),
    "empty image": (cut(IMAGE, 0), "train: image '{}/images/0.jpg' is empty (0 bytes): replace or remove it"),
    "no image": (
        lambda root: (root / IMAGE).write_text("<html>404</html>"),
        "train: image '{}/images/0.jpg' is not an image or is damaged: replace or remove it",
    ),
    "missing image": (
        lambda root: (root / IMAGE).unlink(),
        "train: image '{}/images/0.jpg' does not exist: add it, or remove it from the annotations",
    ),
    "wrong names": (
        edit(lambda content: [one.update(file_name=f"images/{one['file_name']}") for one in content["images"]]),
        "train: none of the 4 images exists, such as '{}/images/images/0.jpg': put them there, or correct the names",
    ),
    "other size": (
        lambda root: write_image(root / IMAGE, 0, (32, 24)),
        "train: image '{}/images/0.jpg' is 32 x 24 pixels (width x height), but its annotations are for 64 x 48",
    ),
    "turned size": (
        lambda root: write_image(root / IMAGE, 0, (HEIGHT, WIDTH)),
        "is 48 x 64 pixels (width x height), but its annotations are for 64 x 48: boxes and masks would be misplaced",
    ),
    "box outside": (
        first(bbox=[100, 100, 20, 20]),
        "1 boxes cannot be used; the first: annotation 1 lies outside its image (box [100, 100, 20, 20], image 64 x 48): ",
    ),
    "corners": (first(bbox=[40, 4, 60, 34]), "annotation 1 reaches beyond its image (box [40, 4, 60, 34], image 64 x 48): "),
    "shares": (first(bbox=[0.1, 0.1, 0.3, 0.3]), "annotation 1 is less than a pixel wide or high (box [0.1, 0.1, 0.3, 0.3]"),
    "NaN": (first(bbox=[4, float("nan"), 20, 30]), "'{}/train.json': annotation number 1 (id 1) has NaN in 'bbox'"),
    "infinite mask": (
        first(segmentation=[[4, 4, float("inf"), 4, 9, 9]]),
        "'{}/train.json': annotation number 1 (id 1) has Infinity in 'segmentation', which is not a number in JSON: correct",
    ),
    "box of text": (
        first(bbox=["4", 4, 20, 30]),
        "annotation number 1 (id 1) has the 'bbox' ['4', 4, 20, 30]: write four numbers",
    ),
    "unknown category": (
        first(category_id=99),
        "'{}/train.json': annotation number 1 (id 1) has the category_id 99, which is not in the file's 'categories': add it",
    ),
    "unknown image": (
        first(image_id=99),
        "'{}/train.json': annotation number 1 (id 1) has the image_id 99, which is not in the file's 'images': add the image",
    ),
    "image ids": (
        edit(lambda content: content["images"][1].update(id=1)),
        "'{}/train.json': 2 images have the id 1: give each image a unique id",
    ),
    "annotation ids": (
        edit(lambda content: content["annotations"][1].update(id=1)),
        "'{}/train.json': annotation number 2 (id 1) has the same id as another one: count ids from 1",
    ),
    "image twice": (
        edit(lambda content: content["images"][1].update(file_name="0.jpg")),
        "'{}/train.json' has image '0.jpg' 2 times, under different ids: keep one",
    ),
    "file name": (
        edit(lambda content: content["images"][0].update(file_name="a\0b.jpg")),
        "'{}/train.json': image 1 has a control character in its 'file_name' \"a\\u0000b.jpg\": rename the file",
    ),
    "no annotation": (
        edit(lambda content: content.update(annotations=[])),
        "train: '{}/train.json' has no annotations: add the boxes of its 4 images",
    ),
    "no list of annotations": (
        edit(lambda content: content.pop("annotations")),
        "train: '{}/train.json' has no annotations: add the boxes of its 4 images",
    ),
    "other categories": (
        edit(lambda content: content["categories"][1].update(name="violet")),
        "'val.json' has other categories than 'train.json': category 2 is 'green' in 'val.json' and 'violet' in 'train.json'",
    ),
    "bad mask": (first(segmentation=[[1, 2, 3, 4]]), "annotation 1 has a polygon of 2 points: write at least three points"),
    "half a file": (cut("train.json", -50), "'{}/train.json' is not JSON"),
}
LABELS = {
    "label beyond": (
        labels(lambda values: np.where(values == 2, 9, values).astype(np.uint8)),
        "label images have the numbers 9, but the 3 classes are 0 to 2; the first is '{}/labels/train/0.png' with 9: correct",
    ),
    "no label at all": (
        labels(lambda values: np.full_like(values, 255), "labels/train/*.png"),
        "train: the label images in '{}/labels/train' have no labelled pixel, only 255: write the classes' numbers into them",
    ),
    "missing label": (
        lambda root: (root / LABEL).unlink(),
        "train: 1 images in '{}/images/train' have no label image, such as '0.jpg': add the label images to ",
    ),
    "missing image of a label": (
        lambda root: (root / "images/train/0.jpg").unlink(),
        "train: 1 label images in '{}/labels/train' have no image, such as '0.png': add the images",
    ),
    "truncated image of a label": (cut("images/train/0.jpg", -200), "image '{}/images/train/0.jpg' is truncated: replace"),
    "empty label": (cut(LABEL, 0), "train: label image '{}/labels/train/0.png' is empty (0 bytes): write it again"),
    "truncated label": (cut(LABEL, -20), "train: label image '{}/labels/train/0.png' is truncated: write it again"),
    "label of another size": (
        labels(lambda values: values[:24, :32]),
        "train: label image '{}/labels/train/0.png' is 32 x 24 pixels (width x height), but its image is 64 x 48: make",
    ),
    "label of 16 bits": (
        labels(lambda values: values.astype(np.uint16) + 1000),
        "train: label image '{}/labels/train/0.png' has the number 1255, but class numbers are 0 to 254: write PNGs of 8 bits",
    ),
    "colours": (
        labels(lambda values: np.stack([values] * 3, -1)),
        "train: label image '{}/labels/train/0.png' has 3 channels (RGB): write each pixel's class number into a PNG",
    ),
    "JPEG as a label": (
        lambda root: Image.open(root / LABEL).save(root / LABEL, format="JPEG"),
        "train: label image '{}/labels/train/0.png' is a JPEG file, whose compression changes class numbers: write",
    ),
    "classes twice": (
        lambda root: (root / "classes.txt").write_text("red\nred\nblue\n"),
        "'{}/classes.txt' has the class 'red' twice: name each class once",
    ),
    "no labels of a split": (
        lambda root: [path.unlink() for path in (root / "labels/val").iterdir()],
        "folder '{}/labels/val' has no images: add them",
    ),
}


@pytest.mark.parametrize("fault", [*COCO, *LABELS])
def test_faults(fault, run_tool, tmp_path):
    make, (damage, words) = (coco_folder, COCO[fault]) if fault in COCO else (label_folder, LABELS[fault])
    root = make(tmp_path)
    damage(root)
    code, output = run_tool("prepare_data", "--check", str(root), "--images", "3", "--out", str(tmp_path / "sheet.png"))
    refused((code, output.err), f"'{root}' has 1 fault: see above")
    (found,) = (line for line in output.out.splitlines() if line.startswith("fault: "))
    assert words.format(root) in found
    if fault in ("box outside", "corners", "shares"):
        assert PIXELS in found


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([10, 10, 30, 10, 30, 30, 10, 30], "has a polygon of type int"),
        ([[10, 10]], "has a polygon of 1 points"),
        ([[10, 10, 3e6, 10, 30, 3e6]], "has a polygon with the coordinate 3e+06"),
        ({"size": [HEIGHT, WIDTH], "counts": "abc"}, "has a damaged RLE mask"),
        ({"size": [HEIGHT, WIDTH], "counts": [1e9]}, "has a damaged RLE mask"),
        ("mask", "has a 'segmentation' of type str"),
    ],
)
def test_invalid_masks_are_not_drawn(segmentation, words, run_tool, tmp_path):
    root = coco_folder(tmp_path, masks=True)
    first(segmentation=segmentation)(root)
    code, output = run_tool("prepare_data", "--check", str(root), "--images", "4", "--out", str(tmp_path / "sheet.png"))
    refused((code, output.err), f"'{root}' has 1 fault: see above")
    assert f"annotation 1 {words}" in output.out
    assert f"contact sheet of 4 images: {tmp_path}/sheet.png" in output.out


def test_a_sheet_that_cannot_be_written_comes_after_the_report(run_tool, tmp_path):
    root = coco_folder(tmp_path)
    (tmp_path / "file").write_text("")
    first(bbox=[100, 4, 20, 30])(root)
    code, output = run_tool("prepare_data", "--check", str(root), "--out", str(tmp_path / "file" / "sheet.png"))
    refused((code, output.err), f"'{tmp_path}/file/sheet.png' cannot be written")
    assert "fault: " in output.out


def test_a_label_of_16_bits_with_small_numbers_is_valid(run_tool, tmp_path):
    root = label_folder(tmp_path)
    labels(lambda values: values.astype(np.uint16))(root)
    code, output = run_tool("prepare_data", "--check", str(root), "--images", "0")
    assert (code, "fault" in output.out) == (0, False)
