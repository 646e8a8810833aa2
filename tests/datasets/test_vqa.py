import json

import pytest

from mmbeit3.datasets.vqa import VQAv2
from mmbeit3.errors import UserError
from tests.datasets.made import vqa, write

pytest.importorskip("mmpretrain")


def read(folder, ann_file="annotations.json", **kwargs):
    return VQAv2(
        data_root=str(folder),
        data_prefix={"img_path": "val2014"},
        question_file="questions.json",
        ann_file=ann_file,
        **kwargs,
    )


def entries(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_people_s_answers(tmp_path):
    vqa(tmp_path)
    expected = [
        sorted(answer["answer"] for answer in annotation["answers"])
        for annotation in json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    ]
    found = entries(read(tmp_path))
    assert [sorted(entry["gt_answers"]) for entry in found] == expected
    assert found[3]["img_path"].endswith("val2014/COCO_val2014_000000000001.jpg")
    assert [entry["gt_answers"] for entry in entries(read(tmp_path, ann_file=""))] == [[]] * 8


def test_held_out_images(tmp_path):
    vqa(tmp_path, images=6)
    for seed in range(3):
        parts = [
            {entry["question_id"] for entry in entries(read(tmp_path, part=part, held_out_images=2, seed=seed))}
            for part in ("trainable", "held_out")
        ]
        # Both questions of an image are on the same side.
        assert [len(part) for part in parts] == [8, 4]
        assert len({question // 10 for question in parts[1]}) == 2
        assert parts[0] | parts[1] == {entry["question_id"] for entry in entries(read(tmp_path))}
    with pytest.raises(UserError, match="6 images, too few to hold out 6"):
        read(tmp_path, part="held_out", held_out_images=6)
    with pytest.raises(UserError, match="part"):
        read(tmp_path, part="test")


def test_errors(tmp_path):
    vqa(tmp_path)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["annotations"][5]["answers"].pop()
    write(tmp_path / "nine.json", content)
    with pytest.raises(UserError, match="question 21 has not 10 answers"):
        read(tmp_path, "nine.json")
    content["annotations"].reverse()
    write(tmp_path / "other.json", content)
    with pytest.raises(UserError, match="don't have the same questions"):
        read(tmp_path, "other.json")
    with pytest.raises(UserError, match=r"questions\.json' has no 'annotations': the file is damaged"):
        read(tmp_path, "questions.json")
    with pytest.raises(UserError, match=r"none\.json' cannot be read"):
        read(tmp_path, "none.json")
    (tmp_path / "val2014" / "COCO_val2014_000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"questions\.json': image 2 is not in '.*val2014'"):
        read(tmp_path)
