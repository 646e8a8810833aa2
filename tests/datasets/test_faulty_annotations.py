"""Annotation files with random faults are refused, or read exactly as they are."""

import copy
import json
import random

import pytest

from mmbeit3.datasets.coco_captions import CocoCaptions
from mmbeit3.datasets.karpathy import KarpathyCaptions, KarpathyRetrieval
from mmbeit3.datasets.nlvr2 import NLVR2
from mmbeit3.datasets.vqa import VQAv2
from mmbeit3.errors import UserError
from tests.datasets.made import image, karpathy, nlvr2, vqa, write

SPLITS = ("train", "restval", "val", "test")
WRONG = (None, "", " \n", 1.5, True, [], [None], {})


def read_vqa(folder):
    return VQAv2("questions.json", "annotations.json", data_root=str(folder), data_prefix={"img_path": "val2014"})


def read_nlvr2(folder):
    return NLVR2("train.json", data_root=str(folder), data_prefix={"img_path": "images/train"})


def read_captions(folder):
    return KarpathyCaptions("dataset.json", SPLITS, data_root=str(folder))


def read_retrieval(folder):
    return KarpathyRetrieval("dataset.json", SPLITS, data_root=str(folder))


def read_coco(folder):
    return CocoCaptions("coco.json", data_root=str(folder), data_prefix={"img_path": "images"}, test_mode=True)


def make_coco(folder):
    for number in range(4):
        image(folder / "images" / f"{number}.jpg", seed=number)
    images = [{"id": 7 + number, "file_name": f"{number}.jpg"} for number in range(4)]
    notes = [{"id": 10 * i + k, "image_id": 7 + i, "caption": f"caption {i} {k}"} for i in range(4) for k in range(2)]
    write(folder / "coco.json", {"images": images, "annotations": notes})


TASKS = {
    "vqa": (vqa, read_vqa, ("questions.json", "annotations.json")),
    "nlvr2": (nlvr2, read_nlvr2, ("train.json",)),
    "captions": (karpathy, read_captions, ("dataset.json",)),
    "retrieval": (karpathy, read_retrieval, ("dataset.json",)),
    "coco": (make_coco, read_coco, ("coco.json",)),
}


def entries(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def load(path):
    text = path.read_text()
    return json.loads(text) if path.name != "train.json" else [json.loads(line) for line in text.splitlines()]


def dump(content):
    return "\n".join(map(json.dumps, content)) if isinstance(content, list) else json.dumps(content)


def lists_of_entries(content, depth=0):
    """Return all lists of objects in a file."""
    if isinstance(content, list):
        if content and isinstance(content[0], dict):
            yield content
        for part in content:
            yield from lists_of_entries(part)
    elif isinstance(content, dict):
        for part in content.values():
            yield from lists_of_entries(part)


def damage(rng, text, content):
    """Make a file with one fault. Return it and the kind of the fault."""
    kind = rng.choice(("bytes", "cut", "drop", "repeat", "field", "field", "field", "id", "id", "whole"))
    if kind == "cut":
        return text[: rng.randrange(len(text))], kind
    if kind == "bytes":
        place = rng.randrange(len(text))
        # None that makes another letter or number of one: that cannot be told from what was meant.
        return text[:place] + rng.choice('"\0') + text[place:], kind
    if kind == "whole":
        return json.dumps(rng.choice(WRONG)), kind
    content = copy.deepcopy(content)
    entries = rng.choice(list(lists_of_entries(content)))
    entry = rng.choice(entries)
    if kind == "drop":
        entries.remove(entry)
    elif kind == "repeat":
        entries.insert(rng.randrange(len(entries)), copy.deepcopy(entry))
    elif kind == "id":
        other = rng.choice(entries)
        key = rng.choice([key for key in entry if key in ("id", "filename", "file_name") or key.endswith("id")] or list(entry))
        if key == "image_id" and "caption" in entry:
            key = "id"  # whose caption it is, only the file knows
        entry[key] = copy.deepcopy(other[key])
        kind = f"{key} of another"
    else:
        key = rng.choice(list(entry))
        kind = f"{key} wrong"
        if rng.random() < 0.3:
            del entry[key]
        else:
            entry[key] = copy.deepcopy(rng.choice(WRONG))
    return dump(content), kind


@pytest.mark.parametrize("task", TASKS)
def test_faults_are_refused_or_harmless(task, tmp_path):
    make, read, names = TASKS[task]
    make(tmp_path)
    true = [{k: v for k, v in entry.items() if k != "sample_idx"} for entry in entries(read(tmp_path))]
    texts = {name: (tmp_path / name).read_text() for name in names}
    refused, read_all_the_same = 0, 0
    for seed in range(30):
        rng = random.Random(seed)
        name = rng.choice(names)
        broken, kind = damage(rng, texts[name], load(tmp_path / name))
        (tmp_path / name).write_text(broken)
        try:
            found = entries(read(tmp_path))
        except UserError as error:
            refused += "\n" not in str(error)
        else:
            read_all_the_same += 1
            for entry in found:
                entry.pop("sample_idx")
                same = [one for one in true if all(one[key] == entry[key] for key in one if key not in ("gt_captions",))]
                assert same, (seed, kind, entry)
                assert set(entry.get("gt_captions", ())) <= set(same[0].get("gt_captions", ())), (seed, kind)
            assert len(found) >= len(true) - 3, (seed, kind)
            assert len({json.dumps(entry) for entry in found}) == len(found), (seed, kind)
        (tmp_path / name).write_text(texts[name])
    # Errors of several lines count as neither.
    assert refused + read_all_the_same == 30
    assert refused > 12
