import json

import pytest
from mmengine.dataset import ConcatDataset

from mmbeit3.datasets.karpathy import KarpathyCaptions, KarpathyRetrieval
from mmbeit3.errors import UserError
from tests.datasets.made import karpathy, write


def entries(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_captions(tmp_path):
    path = karpathy(tmp_path)
    train = entries(KarpathyCaptions("dataset.json", ("train", "restval"), data_root=str(tmp_path)))
    content = json.loads(path.read_text())["images"]
    expected = [(i["cocoid"], s["raw"]) for i in content if i["split"] in ("train", "restval") for s in i["sentences"]]
    assert [(entry["image_id"], entry["gt_caption"]) for entry in train] == expected
    assert len(expected) == 3 + 2 + 2
    assert train[0]["img_path"] == str(tmp_path / "val2014" / "COCO_000000000001.jpg")
    test = entries(KarpathyCaptions("dataset.json", ("test",), data_root=str(tmp_path), test_mode=True))
    assert [(entry["image_id"], len(entry["gt_captions"])) for entry in test] == [(500, 2), (505, 3)]


@pytest.mark.parametrize("coco", [True, False])
def test_retrieval(tmp_path, coco):
    folder = tmp_path / "flickr30k-images"
    karpathy(folder, coco)
    common = {
        "ann_file": str(folder / "dataset.json"),
        "data_prefix": {"img_path": "flickr30k-images"},
        "data_root": str(tmp_path),
    }
    pairs = entries(KarpathyRetrieval(splits=("train",), **common))
    assert [entry["text_id"] for entry in pairs] == [10, 11, 12, 40, 41]
    assert [entry["image_id"] for entry in pairs] == [1, 1, 1, 4, 4]
    images = KarpathyRetrieval(splits=("test",), entries="images", **common)
    texts = KarpathyRetrieval(splits=("test",), entries="texts", **common)
    # Each once, and what only the other has is absent: a model tells them apart by it.
    assert [set(entry) - {"sample_idx"} for entry in entries(images)] == [{"img_path", "image_id"}] * 2
    assert [set(entry) - {"sample_idx"} for entry in entries(texts)] == [{"image_id", "text", "text_id"}] * 5
    assert len(ConcatDataset([images, texts])) == 7


def test_errors(tmp_path):
    path = karpathy(tmp_path)
    read = {"data_root": str(tmp_path), "ann_file": "dataset.json"}
    with pytest.raises(UserError, match="no images of split dev, but of restval, test, train, val"):
        KarpathyCaptions(splits=("dev",), **read)
    with pytest.raises(UserError, match="entries"):
        KarpathyRetrieval(splits=("val",), entries="all", **read)
    (tmp_path / "val2014" / "COCO_000000000003.jpg").unlink()
    KarpathyCaptions(splits=("train",), **read)
    with pytest.raises(UserError, match=r"dataset\.json', image 3: image '.*000003\.jpg' does not exist"):
        KarpathyCaptions(splits=("val",), **read)
    content = json.loads(path.read_text())
    content["images"][0]["sentences"] = []
    write(path, content)
    with pytest.raises(UserError, match="imgid 0 has no captions"):
        KarpathyRetrieval(splits=("test",), entries="images", **read)
    del content["images"][4]["filename"]
    write(path, content)
    with pytest.raises(UserError, match=r"image 4 has no 'filename'"):
        KarpathyCaptions(splits=("train",), **read)
