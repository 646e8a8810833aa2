import json

import pytest

from mmbeit3.datasets.nlvr2 import NLVR2
from mmbeit3.errors import UserError
from tests.datasets.made import nlvr2, write


def read(folder, split):
    return NLVR2(f"{split}.json", data_root=str(folder), data_prefix={"img_path": f"images/{split}"})


def test_official_layouts(tmp_path):
    nlvr2(tmp_path)
    train = read(tmp_path, "train")
    assert [train.get_data_info(i)["gt_label"] for i in range(3)] == [1, 0, 1]
    assert train.get_data_info(2)["img_path"] == [
        str(tmp_path / "images" / "train" / "61" / f"train-2-3-img{side}.png") for side in (0, 1)
    ]
    dev = read(tmp_path, "dev").get_data_info(0)
    assert dev["img_path"][1] == str(tmp_path / "images" / "dev" / "dev-5-1-img1.png")
    assert (dev["text"], dev["identifier"]) == ("two green triangles above the box", "dev-5-1-0")


def test_errors(tmp_path):
    nlvr2(tmp_path)
    line = {"sentence": "x", "identifier": "dev-5-1-0", "label": "maybe"}
    write(tmp_path / "dev.json", json.dumps(line))
    with pytest.raises(UserError, match="line 1: label is 'maybe'"):
        read(tmp_path, "dev")
    write(tmp_path / "dev.json", json.dumps({**line, "label": "True", "identifier": "dev-9-1-0"}))
    with pytest.raises(UserError, match=r"line 1: image '.*dev-9-1-img0\.png' does not exist \(1 other"):
        read(tmp_path, "dev")
    write(tmp_path / "dev.json", "\n")
    with pytest.raises(UserError, match="has no entries"):
        read(tmp_path, "dev")
