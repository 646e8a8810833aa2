import json

import pytest

from mmbeit3.datasets.nlvr2 import NLVR2
from mmbeit3.errors import UserError
from tests.datasets.made import nlvr2, tokenizer, write


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


def test_says_which_share_of_texts_is_unknown(tmp_path, caplog):
    nlvr2(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "train.json").read_text().splitlines()]
    encode = {"type": "mmbeit3.EncodeText", "tokenizer": tokenizer(tmp_path), "key": "text"}

    def load():
        return NLVR2("train.json", data_root=str(tmp_path), data_prefix={"img_path": "images/train"}, pipeline=[encode])

    load()
    assert not caplog.messages
    lines[1]["sentence"] = "\u4f60\u597d"
    write(tmp_path / "train.json", "\n".join(map(json.dumps, lines)))
    load()
    assert "1 of 3 texts 'text' of NLVR2 (33%) are all unknown to the vocabulary, such as '\u4f60\u597d'" in caplog.text
