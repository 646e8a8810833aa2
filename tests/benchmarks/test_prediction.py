"""The benchmark of predictions runs; no duration is checked."""

import json

import numpy as np
import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

from benchmarks import prediction
from benchmarks.prediction import compare_tiles, compare_with_inferencers
from tests.inference.dense import write_images, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    write_model("detector", folder)
    (folder / "last_checkpoint").write_text("detector-0.pth")
    return folder


def test_both_predict_the_same_images(model, tmp_path):
    paths = write_images(tmp_path, [(40, 60)] * 2)
    found = compare_with_inferencers(str(model), paths, batch=2, rounds=1, score=0.5)
    assert (found["images"], found["batch"]) == (2, 2)
    assert len(found["mmbeit3"]) == len(found["DetInferencer"]) == 1
    assert found["ratio"] == pytest.approx(found["DetInferencer"][0] / found["mmbeit3"][0])


def test_tiles_find_what_is_pasted(model, tmp_path, monkeypatch):
    """The ground truth moves with the pasted images. Random weights find nothing that counts."""
    (path,) = write_images(tmp_path, [(64, 64)])
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": 64, "height": 64}],
        "categories": [{"id": number, "name": f"class{number}"} for number in range(1, 7)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": 400, "bbox": [20, 20, 20, 20]},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    monkeypatch.setattr(prediction, "_CANVAS", 512)
    monkeypatch.setattr(prediction, "_PASTED", 5)
    truth, canvases = prediction._paste(pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "coco.json")), tmp_path, 2)
    assert len(truth.dataset["annotations"]) == 10
    image = prediction.read_image(path)
    for one in truth.dataset["annotations"]:
        x, y, width, height = map(int, one["bbox"])
        pasted = canvases[one["image_id"] - 1][y : y + height, x : x + width]
        assert np.array_equal(pasted, image[20:40, 20:40])
    scores = compare_tiles(str(model), str(tmp_path / "coco.json"), str(tmp_path), 128, 1)
    assert set(scores) == {"whole", "tiles"}
    assert all(0 <= value <= 100 for part in scores.values() for value in part.values())
