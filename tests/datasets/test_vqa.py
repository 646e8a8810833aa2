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
    with pytest.raises(UserError, match="6 images: lower held_out_images=6"):
        read(tmp_path, part="held_out", held_out_images=6)
    with pytest.raises(UserError, match="part"):
        read(tmp_path, part="test")


def test_equals_the_reader_of_mmpretrain(tmp_path):
    from mmpretrain.datasets.coco_vqa import COCOVQA

    vqa(tmp_path)
    theirs = COCOVQA(str(tmp_path), "val2014", "questions.json", "annotations.json")
    for ours, reference in zip(entries(read(tmp_path)), entries(theirs), strict=True):
        for key in ("question_id", "image_id", "question", "img_path"):
            assert ours[key] == reference[key]
        weights = dict(zip(reference["gt_answer"], reference["gt_answer_weight"], strict=True))
        assert {answer: ours["gt_answers"].count(answer) / 10 for answer in ours["gt_answers"]} == weights


def test_order_does_not_matter(tmp_path):
    vqa(tmp_path)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["annotations"].reverse()
    write(tmp_path / "other.json", content)
    assert entries(read(tmp_path, "other.json")) == entries(read(tmp_path))


def test_images_are_found_by_their_whole_names(tmp_path):
    vqa(tmp_path)
    expected = [entry["img_path"] for entry in entries(read(tmp_path))]
    folder = tmp_path / "val2014"
    for name in ("mask_000000000001.png", "000000000001_depth.jpg", "000000000001.json", "COCO_val2014_0000000000019.jpg"):
        (folder / name).write_bytes(b"no image")
    assert [entry["img_path"] for entry in entries(read(tmp_path))] == expected
    (folder / "000000000002.JPG").write_bytes(b"")
    with pytest.raises(UserError, match=r"image 2 exists twice: '.*' and 'COCO_val2014_000000000002.jpg'"):
        read(tmp_path)


def test_labels_are_checked_at_the_start(tmp_path):
    vqa(tmp_path)
    write(tmp_path / "answers.txt", "Red\nyes\n")
    labels = {"type": "mmbeit3.VQALabels", "answers": str(tmp_path / "answers.txt")}
    read(tmp_path, pipeline=[labels])
    write(tmp_path / "answers.txt", "blue\nyes\n")
    with pytest.raises(UserError, match=r"questions.json': 0 of 8 questions have an answer in the list"):
        read(tmp_path, pipeline=[labels])


def test_errors(tmp_path):
    vqa(tmp_path)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["annotations"][5]["answers"].pop()
    write(tmp_path / "nine.json", content)
    with pytest.raises(UserError, match="question 21 has 9 answers: give 10"):
        read(tmp_path, "nine.json")
    del content["annotations"][5]
    write(tmp_path / "other.json", content)
    with pytest.raises(UserError, match="set question_file and ann_file to files of the same split"):
        read(tmp_path, "other.json")
    with pytest.raises(UserError, match=r"questions\.json' has no 'annotations': the file is damaged"):
        read(tmp_path, "questions.json")
    with pytest.raises(UserError, match=r"none\.json' cannot be read"):
        read(tmp_path, "none.json")
    (tmp_path / "val2014" / "COCO_val2014_000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"questions\.json': image 2 is not in '.*val2014'"):
        read(tmp_path)
