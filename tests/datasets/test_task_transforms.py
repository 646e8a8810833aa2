import cv2
import numpy as np
import pytest
import torch

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.datasets.task_transforms import EncodeText, LoadImageOrGrey, PackTask
from mmbeit3.errors import UserError
from mmbeit3.text.tokenizer import TextTokenizer
from tests.datasets.made import CAPTIONS, image, tokenizer

pytest.importorskip("sentencepiece")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_texts_are_wrapped_and_cut(path):
    ids = TextTokenizer(path).encode(CAPTIONS[0])
    sample = EncodeText(path, "question")({"question": CAPTIONS[0]})
    assert sample["tokens"].tolist() == [0, *ids, 2]
    assert sample["tokens"].dtype == torch.int64
    assert EncodeText(path, "question", max_length=5)({"question": CAPTIONS[0]})["tokens"].tolist() == [0, *ids[:3], 2]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"question_id": 7, "question": "  "}, r"'question' of sample with question_id 7 is empty \('  '\)"),
        ({"image_id": 8, "question": "\ud800"}, "'question' of sample with image_id 8 is not valid Unicode"),
        ({"img_path": "a.jpg"}, "sample with img_path 'a.jpg': 'question' is a NoneType, not a text"),
        ({"question": 3}, "a sample: 'question' is a int, not a text"),
    ],
)
def test_bad_texts(path, sample, reason):
    with pytest.raises(UserError, match=reason):
        EncodeText(path, "question")(sample)


@pytest.mark.parametrize("length", [2, 1023])
def test_length_that_the_model_cannot_have(path, length):
    EncodeText(path, "text", max_length=1022)
    with pytest.raises(UserError, match=f"max_length is {length}: set it from 3 .* to 1022"):
        EncodeText(path, "text", max_length=length)


def test_damaged_images_turn_grey_and_missing_ones_fail(tmp_path):
    load = LoadImageOrGrey()
    good = image(tmp_path / "good.png")
    sample = load({"img_path": str(good)})
    assert not sample["unreadable"]
    assert np.array_equal(sample["img"], cv2.imread(str(good)))
    bad = tmp_path / "bad.png"
    for content in (b"", b"no image", good.read_bytes()[:40]):
        bad.write_bytes(content)
        sample = load({"img_path": str(bad), "image_id": 3})
        assert sample["unreadable"]
        assert sample["image_id"] == 3
        assert (sample["img"] == 128).all()
    with pytest.raises(UserError, match=r"none\.png' does not exist"):
        load({"img_path": str(tmp_path / "none.png")})


def test_packed_as_rgb():
    bgr = np.zeros((2, 3, 3), np.uint8)
    bgr[..., 0] = 200
    packed = PackTask(meta=("gt_label", "image_id"))({"img": bgr, "gt_label": 4, "image_id": "x", "more": 1})
    assert packed["inputs"]["image"].shape == (3, 2, 3)
    assert packed["inputs"]["image"].dtype == torch.uint8
    assert packed["inputs"]["image"].unique(dim=2)[:, 0].T.tolist() == [[0, 0, 200]]
    assert packed["data_samples"]["gt_label"].tolist() == [4]
    assert set(packed["data_samples"]) == {"gt_label", "image_id"}
    # Some augmentations give floats.
    assert PackTask()({"img": bgr.astype(np.float32) + 100.5})["inputs"]["image"].max() == 255
    two = PackTask()({"img": [bgr, bgr[..., ::-1].copy()], "unreadable": [False, True]})
    assert torch.equal(two["inputs"]["image2"].flip(0), two["inputs"]["image"])
    assert two["data_samples"] == {"unreadable": True}
    with pytest.raises(UserError, match="sample with image_id 3 has no labels, scores: change meta of PackTask"):
        PackTask(meta=("labels", "image_id", "scores"))({"img": bgr, "image_id": 3})


def sample(size=(4, 4), tokens=None, **fields):
    inputs = {} if size is None else {"image": torch.zeros(3, *size, dtype=torch.uint8)}
    if tokens is not None:
        inputs["tokens"] = torch.tensor(tokens)
    return {"inputs": inputs, "data_samples": fields}


def test_collated():
    batch = collate_samples([sample(tokens=[0, 9, 2], image_id=1), sample(tokens=[0, 8, 7, 6, 2], image_id=2)])
    assert batch["inputs"]["image"].shape == (2, 3, 4, 4)
    assert batch["inputs"]["tokens"].tolist() == [[0, 9, 2, 1, 1], [0, 8, 7, 6, 2]]
    assert batch["inputs"]["padding_mask"].tolist() == [[False] * 3 + [True] * 2, [False] * 5]
    assert batch["data_samples"] == [{"image_id": 1}, {"image_id": 2}]


def test_collated_from_images_and_texts():
    batch = collate_samples([sample(), sample(None, [0, 5, 2], text_id=1), sample(None, [0, 2], text_id=2)])
    assert batch["inputs"]["image"].shape[0] == 1
    assert batch["inputs"]["tokens"].shape == (2, 3)
    assert set(collate_samples([sample(), sample()])["inputs"]) == {"image"}


def test_images_of_different_sizes():
    with pytest.raises(UserError, match=r"shapes \[\(3, 4, 4\), \(3, 4, 5\)\]: add a Resize"):
        collate_samples([sample(), sample((4, 5))])
