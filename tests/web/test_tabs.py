"""The tabs of the demo page as functions: results and errors, against the inferencers."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmbeit3 import inference
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.inference import load_model
from mmbeit3.inference.areas import Regions
from mmbeit3.visualization.drawing import draw_objects
from mmbeit3.web.tabs import TABS
from mmbeit3.web.tasks import TASKS
from tests.web.demo import ANSWERS

IMAGE = np.zeros((2, 2, 3), np.uint8)

pytest.importorskip("mmpretrain")
for codebase in ("mmdet", "mmseg"):
    pytest.importorskip(codebase)


def test_tasks():
    assert list(TABS) == list(TASKS)


def test_results_of_two_codebases_in_turn(tabs, arguments, photo):
    pixels = read_image(photo)[..., ::-1]
    found = {task: load_model(*arguments[task], "cpu").predict(photo, score=0.1) for task in ("detection", "segmentation")}
    expected = {task: result.draw() for task, result in found.items()}
    assert len(found["detection"])
    for _ in range(2):
        picture, table, coco, labels = tabs["detection"](photo, 0.1, "")
        np.testing.assert_array_equal(picture, expected["detection"])
        assert len(table.rows) == len(json.loads(coco[1])) == len(found["detection"])
        assert coco[0] == "photo_results.json"
        assert labels is None
        picture, table, _, labels = tabs["segmentation"](photo, None)
        np.testing.assert_array_equal(picture, expected["segmentation"])
        assert [row[0] for row in table.rows] == list(found["segmentation"].shares())
        read = cv2.imdecode(np.frombuffer(labels[1], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, found["segmentation"].labels)
    picture, table, _, _ = tabs["detection"](photo, 1.0, None)
    assert table.rows == ()
    # 128 pixels are enlarged by a whole factor.
    assert picture.shape == (384, 512, 3)
    np.testing.assert_array_equal(picture, draw_objects(pixels, np.zeros((0, 4)), np.zeros(0, int)))


def test_settings_of_the_prediction(tabs):
    asked = []

    class Model:
        def predict(self, image, **settings):
            asked.append((image, settings))
            return Regions(path=None, size=(2, 2), classes=("a",), colours=np.zeros((1, 3)), labels=IMAGE[..., 0], pixels=IMAGE)

    detect, segment = (replace(tabs[task], build=Model) for task in ("detection", "segmentation"))
    assert len(detect("a.png", 0.3, " 64 ")) == 4
    detect("a.png", 0.4, "")
    segment("b.png", "640")
    assert asked == [
        (Path("a.png"), {"score": 0.3, "tile": 64}),
        (Path("a.png"), {"score": 0.4, "tile": None}),
        (Path("b.png"), {"tile": 640}),
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("abc", "size 'abc' is not a whole"), ("-5", "'-5' is not"), ("8", "from 32, got 8")]
)
def test_tile_sizes_that_are_refused(tabs, photo, text, message):
    with pytest.raises(UserError, match=message):
        tabs["segmentation"](photo, text)


def test_answers(tabs, arguments, photo):
    (found,) = tabs["vqa"](photo, "is the box red?")
    expected = inference.VQAInferencer(*arguments["vqa"], "cpu")(photo, "is the box red?")["predictions"][0]
    assert set(found) == set(ANSWERS)
    assert next(iter(found)) == expected["pred_answer"]
    assert found[expected["pred_answer"]] == pytest.approx(expected["pred_score"])


def test_caption(tabs, arguments, photo):
    expected = inference.CaptionInferencer(*arguments["caption"], "cpu")(photo)["predictions"][0]["pred_caption"]
    assert tabs["caption"](photo) == (expected,)


def test_an_image_is_closest_to_itself(tabs, images):
    (found,) = tabs["retrieval"]("", str(images[2]), 3)
    assert len(found) == 3
    picture, caption = found[0]
    assert caption == f"1.000 {images[2].name}"
    np.testing.assert_array_equal(picture, read_image(images[2])[..., ::-1])


def test_search_by_text(tabs, arguments, images):
    search = inference.RetrievalInferencer(*arguments["retrieval"][:2], "cpu")
    search.index(images[0].parent)
    expected = [each["image"].rpartition("/")[2] for each in search.query("a blue box", top_k=4)]
    (found,) = tabs["retrieval"]("a blue box", None, 4)
    assert [caption.split()[1] for _, caption in found] == expected


@pytest.mark.parametrize("with_both", [False, True])
def test_search_by_one_of_text_and_image(tabs, images, with_both):
    with pytest.raises(UserError, match="text or an image"):
        tabs["retrieval"]("a box" if with_both else "", str(images[0]) if with_both else None, 3)


def test_judgement(tabs, arguments, images):
    sides = [str(path) for path in images[:2]]
    (found,) = tabs["nlvr2"](*sides, "two green triangles")
    expected = inference.NLVR2Inferencer(*arguments["nlvr2"], "cpu")(*sides, "two green triangles")["predictions"][0]
    assert found[expected["pred_class"]] == pytest.approx(expected["pred_score"])
    assert sum(found.values()) == pytest.approx(1)


def test_classes_of_the_model_and_others(tabs, photo):
    assert set(tabs["classify"](photo, "")[0]) == {"red box", "blue circle"}
    (found,) = tabs["classify"](photo, "fox, the left square ,, box")
    assert set(found) == {"fox", "the left square", "box"}
    assert sum(found.values()) == pytest.approx(1)
    assert set(tabs["classify"](photo, None)[0]) == {"red box", "blue circle"}


@pytest.mark.parametrize("task", list(TABS))
def test_no_image(tabs, task):
    if task != "retrieval":
        with pytest.raises(UserError, match=r"field '.*' has no image"):
            tabs[task](*(None for _ in tabs[task].inputs))


def test_empty_question(tabs, photo):
    with pytest.raises(UserError, match="question 0 is empty"):
        tabs["vqa"](photo, "")


@pytest.mark.parametrize("task", list(TABS))
def test_files_are_looked_for_at_once(arguments, task):
    for number in range(len(arguments[task])):
        wrong = [*arguments[task]]
        wrong[number] = "nowhere"
        with pytest.raises(UserError, match=r"'nowhere' (does not exist|is neither)") as error:
            TABS[task](*wrong)
        assert "\n" not in str(error.value)
    missing = [arguments[task][0], *arguments[task][2:]]
    with pytest.raises(UserError, match="needs a checkpoint"):
        TABS[task](*missing)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_models_of_other_tasks_are_refused_at_once(arguments, task):
    with pytest.raises(UserError, match=r"use mmbeit3\.inference\.VQAInferencer"):
        TABS[task](*arguments["vqa"])


def test_search_needs_a_folder(arguments):
    with pytest.raises(UserError, match="needs a folder"):
        TABS["retrieval"](arguments["retrieval"][0])


def test_a_model_that_failed_to_load_is_tried_again(arguments, photo, tmp_path):
    weights = tmp_path / "late.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, weights)
    tab = TABS["segmentation"](arguments["segmentation"][0], str(weights), device="cpu")
    with pytest.raises(UserError, match="does not match the model"):
        tab(photo, "")
    weights.unlink()
    weights.symlink_to(arguments["segmentation"][1])
    assert tab(photo, "")[1].rows


def test_a_visitor_cannot_have_this_machine_ask_others(tabs):
    for task in ("caption", "detection"):
        more = (0.5, "") if task == "detection" else ()
        with pytest.raises(UserError, match=r"the file 'a\.png' does not exist"):
            tabs[task]("http://127.0.0.1:9/a.png", *more)
