"""A tab: the time at which its model is loaded, one prediction at a time, and messages without folders."""

import threading
import time
from pathlib import Path

import pytest

from mmbeit3.errors import UserError
from mmbeit3.web.tab import Field, Tab


def make(predict, inputs=(), build=lambda: None, **options):
    return Tab("", "", "", inputs, (Field("text", ""),), build, predict, **options)


def test_the_model_is_loaded_once():
    built = []
    tab = make(lambda model: (model,), build=lambda: built.append(1) or "model")
    assert not tab.is_ready()
    assert not built
    tab.load()
    assert tab.is_ready()
    assert tab() == ("model",) == tab()
    assert built == [1]


def test_the_key_decides_when_the_model_is_loaded_again():
    built = []
    text = Field("text", "Names")
    tab = make(
        lambda model, _: (model,),
        (text,),
        build=lambda *names: built.append(names) or len(built),
        key=lambda names: tuple(names.split()),
    )
    assert [tab(names) for names in ("a b", "a  b", "c", "a b")] == [(1,), (1,), (2,), (3,)]
    assert built == [("a", "b"), ("c",), ("a", "b")]
    assert tab.is_ready("a b")
    assert not tab.is_ready("c")


def test_a_model_that_failed_to_load_is_tried_again():
    results = iter([UserError("not yet"), "model"])

    def build():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    tab = make(lambda model: (model,), build=build)
    with pytest.raises(UserError, match="not yet"):
        tab.load()
    assert not tab.is_ready()
    assert tab() == ("model",)


def test_one_at_a_time():
    running, most = [], []

    def predict(_):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return ("",)

    threads = [threading.Thread(target=tab) for tab in [make(predict) for _ in range(2)] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("image '{}' does not exist: give a JPEG", "the file 'a.png' does not exist: give a JPEG"),
        ("'{}' is a folder", "the file 'a.png' is a folder"),
        ("cannot read {}", "cannot read a.png"),
        ("no path", "no path"),
    ],
)
def test_messages_name_uploads_without_their_folder(message, shown):
    path = "/tmp/gradio/0123/a.png"

    def predict(_, image):
        raise UserError(message.format(image))

    with pytest.raises(UserError) as error:
        make(predict, (Field("image", "Image"),))(path)
    assert str(error.value) == shown


def test_images_are_local_paths():
    tab = make(lambda _, *values: values, (Field("image", "Image"), Field("text", "Text"), Field("image", "B", optional=True)))
    assert tab("http://127.0.0.1/a.png", "text", None) == (Path("http://127.0.0.1/a.png"), "text", None)


def test_a_required_image_that_is_missing():
    built = []
    tab = make(lambda *_: ("",), (Field("image", "Left image"),), build=lambda: built.append(1))
    with pytest.raises(UserError, match="field 'Left image' has no image"):
        tab(None)
    assert not built
