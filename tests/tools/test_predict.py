"""The command that predicts images: where it writes, and what it says."""

import pytest

pytest.importorskip("mmdet")

from mmbeit3 import inference
from mmbeit3.inference import saving
from mmbeit3.inference.saving import Summary
from tests.inference.dense import write_images
from tests.tools.calls import refused


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Call in an empty folder with no model; returns the output folders."""
    folders = []

    def record(model, images, out, *_, **options):
        folders.append(out.as_posix())
        return Summary(images=1)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inference, "load_model", lambda *_: None, raising=False)
    monkeypatch.setattr(saving, "predict_to_folder", record)
    return folders


def test_names_of_output_folders(call, written, tmp_path):
    for name in ("day.1", "day.2"):
        write_images(tmp_path / name, [(8, 8)])
    for images in (["day.1"], ["day.2"], ["day.1/0.png"], ["day.1/0.png", "day.2/0.png"], ["some.mp4"]):
        assert call("predict", "model", *images)[0] == 0
    assert call("predict", "model", "day.1", "--out", "mine")[0] == 0
    assert written == [f"work_dirs/predict/{name}" for name in ("day.1", "day.2", "0", "images", "some")] + ["mine"]


def test_one_picture_is_for_one_image(call, written, tmp_path):
    write_images(tmp_path / "photos", [(8, 8)])
    for images in (["photos"], ["in.mp4"], ["a.png", "b.png"]):
        refused(call("predict", "model", *images, "--out", "found.png"), "'found.png' is a picture, but there are several")
    assert not written


def test_interruption(call, written, monkeypatch):
    def interrupted(*_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "predict_to_folder", interrupted)
    for images, words in (("in.mp4", "starts the video again from its first frame"), ("photos", "continues after the images")):
        code, stderr = call("predict", "model", images)
        assert code == 130
        assert words in stderr
