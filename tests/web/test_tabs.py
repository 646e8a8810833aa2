"""The tabs of the demo page as functions: results, errors, and the time at which models are loaded."""

import threading
import time

import cv2
import numpy as np
import pytest
import torch

from mmbeit3 import inference
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.inference.dense import draw_prediction, load_model
from mmbeit3.web import tabs as web_tabs
from mmbeit3.web.tabs import TABS, Field, Tab
from tests.web.demo import ANSWERS

pytest.importorskip("mmpretrain")
for codebase in ("mmdet", "mmseg"):
    pytest.importorskip(codebase)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Image file of 96 x 128 pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1))
    return str(path)


def test_overlays_of_two_codebases_in_turn(tabs, arguments, photo, tmp_path):
    pixels = read_image(photo)[..., ::-1]
    expected = {}
    for task in ("detection", "segmentation"):
        model, cfg = load_model(*arguments[task])
        np.random.seed(0)
        draw_prediction(model, cfg, photo, tmp_path / "expected.png", score=0.1)
        expected[task] = read_image(tmp_path / "expected.png")[..., ::-1]
        assert (expected[task] != pixels).any()
    for _ in range(2):
        np.random.seed(0)  # mmdet's visualizer varies colours at random
        np.testing.assert_array_equal(tabs["detection"](photo, 0.1), expected["detection"])
        np.testing.assert_array_equal(tabs["segmentation"](photo), expected["segmentation"])
    np.testing.assert_array_equal(tabs["detection"](photo, 1.0), pixels)


def test_answers(tabs, arguments, photo):
    found = tabs["vqa"](photo, "is the box red?")
    expected = inference.VQAInferencer(*arguments["vqa"], "cpu")(photo, "is the box red?")["predictions"][0]
    assert set(found) == set(ANSWERS)
    assert next(iter(found)) == expected["pred_answer"]
    assert found[expected["pred_answer"]] == pytest.approx(expected["pred_score"])


def test_caption(tabs, arguments, photo):
    expected = inference.CaptionInferencer(*arguments["caption"], "cpu")(photo)["predictions"][0]["pred_caption"]
    assert tabs["caption"](photo) == expected


def test_an_image_is_closest_to_itself(tabs, images):
    found = tabs["retrieval"]("", str(images[2]), 3)
    assert len(found) == 3
    picture, caption = found[0]
    assert caption == f"1.000 {images[2].name}"
    np.testing.assert_array_equal(picture, read_image(images[2])[..., ::-1])


def test_search_by_text(tabs, arguments, images):
    search = inference.RetrievalInferencer(*arguments["retrieval"][:2], "cpu")
    search.index(images[0].parent)
    expected = [each["image"].rpartition("/")[2] for each in search.query("a blue box", top_k=4)]
    assert [caption.split()[1] for _, caption in tabs["retrieval"]("a blue box", None, 4)] == expected


@pytest.mark.parametrize("with_both", [False, True])
def test_search_by_one_of_text_and_image(tabs, images, with_both):
    with pytest.raises(UserError, match="text or an image"):
        tabs["retrieval"]("a box" if with_both else "", str(images[0]) if with_both else None, 3)


def test_judgement(tabs, arguments, images):
    sides = [str(path) for path in images[:2]]
    found = tabs["nlvr2"](*sides, "two green triangles")
    expected = inference.NLVR2Inferencer(*arguments["nlvr2"], "cpu")(*sides, "two green triangles")["predictions"][0]
    assert found[expected["pred_class"]] == pytest.approx(expected["pred_score"])
    assert sum(found.values()) == pytest.approx(1)


def test_classes_of_the_model_and_others(tabs, photo):
    assert set(tabs["classify"](photo, "")) == {"red box", "blue circle"}
    found = tabs["classify"](photo, "fox, the left square ,, box")
    assert set(found) == {"fox", "the left square", "box"}
    assert sum(found.values()) == pytest.approx(1)
    assert set(tabs["classify"](photo, None)) == {"red box", "blue circle"}


def test_large_images_become_thumbnails(tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((100, 1000, 3), np.uint8))
    assert web_tabs._thumbnail(str(tmp_path / "wide.png")).shape == (32, 320, 3)


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
        with pytest.raises(UserError, match=r"'nowhere' does not exist") as error:
            TABS[task][0](*wrong)
        assert "\n" not in str(error.value)


def test_models_are_loaded_at_first_use_and_once(arguments, photo, monkeypatch):
    loaded = []

    def load(*given):
        loaded.append(given)
        return load_model(*given)

    monkeypatch.setattr(web_tabs, "load_model", load)
    tab = TABS["detection"][0](*arguments["detection"])
    assert not loaded
    tab(photo, 0.5)
    tab(photo, 0.5)
    assert loaded == [(*arguments["detection"], "cpu")]


def test_a_model_that_failed_to_load_is_tried_again(arguments, photo, tmp_path):
    weights = tmp_path / "late.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, weights)
    tab = TABS["segmentation"][0](arguments["segmentation"][0], str(weights))
    with pytest.raises(UserError, match="does not match the model"):
        tab(photo)
    weights.unlink()
    weights.symlink_to(arguments["segmentation"][1])
    assert tab(photo).shape == (96, 128, 3)


def test_one_at_a_time():
    running, most = [], []

    def predict():
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    tabs = [Tab(str(number), "", "", (), Field("text", ""), predict) for number in range(2)]
    threads = [threading.Thread(target=tab) for tab in tabs * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_visitor_cannot_have_this_machine_ask_others(tabs):
    for task in ("caption", "detection"):
        more = (0.5,) if task == "detection" else ()
        with pytest.raises(UserError, match=r"image 'http:/127\.0\.0\.1.*' does not exist"):
            tabs[task]("http://127.0.0.1:9/a.png", *more)
