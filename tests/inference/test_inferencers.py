"""Inferencers of all tasks but retrieval: predictions equal those of the models, for all kinds of images and batch sizes."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.infer import BaseInferencer
from PIL import Image

from mmbeit3.inference import VQAInferencer
from tests.inference.made import expected
from tests.inference.tasks import ANSWERS, CLASSES, NAMES, QUESTIONS, arguments, batch


@pytest.mark.parametrize("task", CLASSES)
def test_predictions_are_the_models(build, trained, task, images):
    inferencer = build(task)
    assert isinstance(inferencer, BaseInferencer)
    cfg, path = trained(task)
    found = inferencer(*arguments(task, images))
    assert found["visualization"] == []
    wanted = expected(cfg, path, batch(inferencer, task, images))
    assert len(found["predictions"]) == len(wanted) == 5
    assert json.loads(json.dumps(found["predictions"])) == found["predictions"]
    names = {"vqa": ANSWERS, "nlvr2": ["false", "true"], "named": NAMES}.get(task)
    for number, (one, sample) in enumerate(zip(found["predictions"], wanted, strict=True)):
        assert one["left" if task == "nlvr2" else "image"] == str(images[number])
        if task == "captioning":
            assert one["pred_tokens"] == sample["pred_tokens"]
            assert one["pred_caption"] == sample["pred_caption"]
            continue
        label = int(sample["pred_label"])
        assert one["pred_label"] == label
        assert one["pred_score"] == pytest.approx(float(sample["pred_score"].max()), abs=1e-5)
        if names:
            assert one["pred_answer" if task == "vqa" else "pred_class"] == names[label]
        if task != "nlvr2":
            order = sample["pred_score"].argsort(descending=True).tolist()
            assert [each["label"] for each in one["top"]] == order[:5]
    said = {one["pred_caption" if task == "captioning" else "pred_label"] for one in found["predictions"]}
    assert len(said) > 1, "all the same: the test would show nothing"


@pytest.mark.parametrize("task", CLASSES)
def test_batch_size_changes_nothing(build, task, images):
    inferencer = build(task)
    one, several = (inferencer(*arguments(task, images), batch_size=size)["predictions"] for size in (1, 3))
    for first, second in zip(one, several, strict=True):
        for name, value in first.items():
            if name == "top":
                assert [each["label"] for each in second[name]] == [each["label"] for each in value]
            else:
                assert second[name] == (pytest.approx(value, abs=1e-5) if isinstance(value, float) else value)


def test_kinds_of_images(build, images):
    inferencer, path = build("vqa"), images[0]
    kinds = [path, str(path), cv2.imread(str(path)), Image.open(path)]
    found = inferencer(kinds, "is the left square red?")["predictions"]
    assert [one["image"] for one in found] == [str(path), str(path), None, None]
    assert all(one["top"] == found[0]["top"] for one in found)
    folder = inferencer(path.parent, "is the left square red?")["predictions"]
    assert [one["image"] for one in folder] == list(map(str, images))
    assert folder[0]["top"] == found[0]["top"]
    single = inferencer(path, "is the left square red?", top_k=2)["predictions"]
    assert single[0]["top"] == found[0]["top"][:2]
    assert len(inferencer(path, QUESTIONS)["predictions"]) == 5


@pytest.mark.parametrize("task", CLASSES)
def test_pictures(build, task, images, tmp_path):
    found = build(task)(*arguments(task, images), return_vis=True, out_dir=tmp_path / "drawn", batch_size=2)
    files = sorted((tmp_path / "drawn").iterdir())
    assert [file.name for file in files] == [f"{i:05d}_{i}.jpg" for i in range(5)]
    for number, (picture, file) in enumerate(zip(found["visualization"], files, strict=True)):
        assert picture.dtype == np.uint8
        assert picture.shape[0] >= 384 + 16 + 20
        # Images of 24 x 40 pixels are drawn 384 pixels high; pairs have a gap between the images.
        assert picture.shape[1:] == (640 * 2 + 4 if task == "nlvr2" else 640, 3)
        assert picture[190, 150].tolist() == cv2.imread(str(images[number]))[12, 9, ::-1].tolist()
        # The caption of an untrained model may be blank.
        assert (picture[384:].min() < 64) == bool(found["predictions"][number].get("pred_caption", "text").strip())
        assert cv2.imread(str(file)).shape == picture.shape


def test_progress(build, images, capsys):
    inferencer = build("classification")
    inferencer(images)
    assert capsys.readouterr().out == ""
    inferencer(images, show_progress=True)
    assert "100%" in capsys.readouterr().out


def test_config_from_a_file(trained, images, tmp_path):
    cfg, path = trained("vqa")
    cfg.dump(tmp_path / "config.py")
    found = VQAInferencer(str(tmp_path / "config.py"), str(path), "cpu", show_progress=False)(images[0], "red")
    assert found == VQAInferencer(cfg.to_dict(), path, "cpu", show_progress=False)(images[0], "red")


def test_importing_the_package_is_cheap():
    code = (
        "import sys, mmbeit3.inference\n"
        "assert not {'torch', 'mmengine', 'sentencepiece', 'cv2'} & set(sys.modules), 'imported'\n"
        "from mmbeit3.inference import VQAInferencer\n"
        "assert not {'sentencepiece', 'mmpretrain', 'mmdet'} & set(sys.modules), 'imported'\n"
        "try:\n    mmbeit3.inference.Absent\nexcept AttributeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "module 'mmbeit3.inference' has no attribute 'Absent'" in done.stdout
