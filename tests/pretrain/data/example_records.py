"""Small records in files and tar shards for the tests of this folder."""

import io
import json
import tarfile

import cv2
import numpy as np

from mmbeit3.pretrain.data import TarShards, TextFiles

COUNT = 23
"""Number of texts, ``text 0`` to ``text 22``."""


def picture(index, size=(5, 7)):
    image = np.zeros((*size, 3), np.uint8)
    image[:] = (index * 10 % 256, 0, 200)  # RGB
    return image


def encoded(index, suffix=".png"):
    return cv2.imencode(suffix, picture(index)[..., ::-1])[1].tobytes()


def write_tar(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def member_pair(index):
    return [(f"{index:03d}.png", encoded(index)), (f"{index:03d}.txt", f"text {index}".encode())]


def make_tars(folder, shards):
    for shard in range(shards):
        members = [member for index in range(COUNT) if index % shards == shard for member in member_pair(index)]
        write_tar(folder / f"train-{shard:02d}.tar", members)
    return str(folder / "train-*.tar")


def make_texts(folder):
    (folder / "a.txt").write_text("".join(f"text {index}\n\n" for index in range(10)))
    (folder / "b.jsonl").write_text("\n".join(json.dumps({"text": f"text {index}"}) for index in range(10, COUNT)))
    return TextFiles([folder / "a.txt", folder / "b.jsonl"])


def make_records(layout, folder, buffer=4):
    return make_texts(folder) if layout == "lines" else TarShards(make_tars(folder, int(layout)), "texts", buffer)


def numbers(records):
    return [int(record["text"].split()[1]) for record in records]
