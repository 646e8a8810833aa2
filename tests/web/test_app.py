"""The demo page in a real browser: upload an image, submit, and check the answer, the picture, or the error."""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlparse

import cv2
import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.web.app import build_app, serve_app
from mmbeit3.web.tabs import TABS
from tests.paths import ROOT
from tests.web.demo import ANSWERS

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def test_an_empty_page_is_refused():
    with pytest.raises(UserError, match="at least one task"):
        build_app([])


def test_without_gradio(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("config.py", "weights.pth"):
        (tmp_path / name).touch()
    tab = TABS["vqa"][0](str(tmp_path / "config.py"), str(tmp_path / "weights.pth"))
    with pytest.raises(UserError, match=re.escape("pip install 'mmbeit3[app]'")):
        build_app([tab])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: the page has no tabs: give a config and a checkpoint for at least one task\n"),
        (("--vqa", "none.py", "none.pth"), "error: config 'none.py' does not exist: check the path\n"),
    ],
)
def test_the_command_refuses(run_tool, arguments, message):
    code, output = run_tool("demo_app", *arguments)
    assert code == 2
    assert output.err == message


def test_the_command_serves_what_it_is_given(run_tool, arguments, monkeypatch):
    gradio, httpx = pytest.importorskip("gradio"), pytest.importorskip("httpx")
    served = []

    def block(app):
        served.append(httpx.get(app.local_url).status_code)
        served.extend(each["props"]["label"] for each in app.config["components"] if each["type"] == "tabitem")
        app.close()

    monkeypatch.setattr(gradio.Blocks, "block_thread", block)
    given = [word for task in ("retrieval", "caption") for word in (f"--{task}", *arguments[task])]
    code, output = run_tool("demo_app", *given)
    assert code == 0
    assert re.search(r"^page at http://127\.0\.0\.1:\d+/$", output.out, re.MULTILINE)
    assert served == [200, "Captioning", "Retrieval"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    if (path := next(filter(None, map(shutil.which, BROWSERS)), None)) is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture(scope="module")
def app(tabs):
    pytest.importorskip("gradio")
    made = build_app(list(tabs.values()))
    made.address = serve_app(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(browser, app):
    """The page; after the test, check that it sent no request to another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    opened.goto(app.address)
    opened.get_by_role("tab").first.wait_for()
    yield opened
    context.close()
    assert {urlparse(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}


@pytest.fixture
def photo(tmp_path):
    """Image file of 96 x 128 pixels."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1))
    return path


def open_tab(page, tabs, task):
    page.get_by_role("tab", name=tabs[task].title).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def upload(panel, path, which=0):
    panel.locator("input[type=file]").nth(which).set_input_files(path)
    panel.locator("img").nth(which).wait_for()


def press(panel, tabs, task):
    panel.get_by_role("button", name=tabs[task].button, exact=True).click()


def pixels_of(page, picture):
    """Return the pixels of an ``img`` element, uint8 (H, W, 3), RGB."""
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    content = page.request.get(picture.get_attribute("src")).body()
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def refused(page, end):
    """Check that the page shows exactly one message, of one line with this end, and close it."""
    message = page.get_by_test_id("toast-body")
    message.wait_for()
    title, _, line = message.inner_text().splitlines()
    assert title == "Error"
    assert line.endswith(end)
    page.get_by_test_id("toast-close").click()
    message.wait_for(state="detached")


def test_a_tab_for_each_model(page, tabs):
    assert [tab.inner_text() for tab in page.get_by_role("tab").all()] == [tab.title for tab in tabs.values()]


def test_question(page, tabs, photo):
    panel = open_tab(page, tabs, "vqa")
    upload(panel, photo)
    panel.get_by_label("Question").fill("is the box red?")
    press(panel, tabs, "vqa")
    answer = panel.get_by_test_id("label-output-value")
    answer.wait_for()
    expected = tabs["vqa"](str(photo), "is the box red?")
    assert answer.inner_text() == next(iter(expected))
    assert all(name in panel.inner_text() for name in ANSWERS)
    assert f"{next(iter(expected.values())):.0%}" in panel.inner_text()


def test_overlay_of_a_detector(page, tabs, photo):
    panel = open_tab(page, tabs, "detection")
    upload(panel, photo)
    panel.get_by_role("spinbutton").fill("0.1")
    np.random.seed(0)  # mmdet's visualizer varies colours at random
    press(panel, tabs, "detection")
    shown = pixels_of(page, panel.locator("img").nth(1))
    np.random.seed(0)
    np.testing.assert_array_equal(shown, tabs["detection"](str(photo), 0.1))
    assert (shown != cv2.imread(str(photo))[..., ::-1]).any()


def test_overlay_of_a_segmentor(page, tabs, photo):
    panel = open_tab(page, tabs, "segmentation")
    upload(panel, photo)
    press(panel, tabs, "segmentation")
    np.testing.assert_array_equal(pixels_of(page, panel.locator("img").nth(1)), tabs["segmentation"](str(photo)))


def test_caption(page, tabs, photo):
    panel = open_tab(page, tabs, "caption")
    upload(panel, photo)
    press(panel, tabs, "caption")
    expected = tabs["caption"](str(photo))
    page.wait_for_function("field => field.value", arg=panel.get_by_label("Caption").element_handle())
    assert panel.get_by_label("Caption").input_value() == expected


def test_search_by_text_with_the_enter_key(page, tabs):
    panel = open_tab(page, tabs, "retrieval")
    field = panel.get_by_label("Text")
    field.fill("a blue box")
    field.press("Enter")
    panel.locator(".caption-label").first.wait_for()
    expected = [caption for _, caption in tabs["retrieval"]("a blue box", None, 6)]
    assert [each.inner_text() for each in panel.locator(".caption-label").all()] == expected
    assert pixels_of(page, panel.locator(".gallery-item img, .thumbnail-item img").first).shape == (24, 40, 3)


def test_judgement(page, tabs, images):
    panel = open_tab(page, tabs, "nlvr2")
    for which, path in enumerate(images[:2]):
        upload(panel, path, which)
    panel.get_by_label("Sentence").fill("two green triangles")
    press(panel, tabs, "nlvr2")
    answer = panel.get_by_test_id("label-output-value")
    answer.wait_for()
    found = tabs["nlvr2"](*map(str, images[:2]), "two green triangles")
    assert answer.inner_text() == max(found, key=found.get)


def test_class_names(page, tabs, photo):
    panel = open_tab(page, tabs, "classify")
    upload(panel, photo)
    panel.get_by_label("Class names").fill("fox, box")
    press(panel, tabs, "classify")
    panel.get_by_test_id("label-output-value").wait_for()
    assert {"fox", "box"} <= set(panel.inner_text().split())


def test_refusals_are_one_line_on_the_page(page, tabs, photo):
    page.reload()
    panel = open_tab(page, tabs, "vqa")
    press(panel, tabs, "vqa")
    refused(page, "the field 'Image' has no image: choose an image, or drop one on the field")
    upload(panel, photo)
    press(panel, tabs, "vqa")
    refused(page, "question 0 is empty (''): give at least a word")


def test_a_file_that_is_no_image(page, tabs, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    panel = open_tab(page, tabs, "caption")
    panel.locator("input[type=file]").set_input_files(tmp_path / "text.png")
    panel.locator("img").wait_for(state="attached")
    press(panel, tabs, "caption")
    refused(page, "text.png' is not an image or is damaged: give a JPEG or PNG file")


@pytest.mark.parametrize("port", [0, -1, 65536, 80000])
def test_a_port_that_does_not_exist(port):
    with pytest.raises(UserError, match=f"port {port} does not exist: give a port from 1024 to 65535"):
        serve_app(None, port=port)


def test_a_port_in_use(tabs, app):
    other = build_app([tabs["caption"]])
    port = urlparse(app.address).port
    with pytest.raises(UserError, match=f"port {port}"):
        serve_app(other, port=port)


def test_files_beside_the_page_are_not_served(app):
    httpx = pytest.importorskip("httpx")
    for path in (Path(__file__), ROOT / "setup.py"):
        assert httpx.get(f"{app.address}gradio_api/file={path}").status_code == 403


def test_large_files_are_refused(app):
    httpx = pytest.importorskip("httpx")
    for size, status in ((19_000_000, 200), (21_000_000, 413)):
        answer = httpx.post(f"{app.address}gradio_api/upload", files={"files": ("large.png", bytes(size))})
        assert answer.status_code == status


def test_only_uploads_are_read(app, photo):
    """A visitor cannot read files of the server by their paths."""
    httpx = pytest.importorskip("httpx")
    uploaded = httpx.post(f"{app.address}gradio_api/upload", files={"files": photo.open("rb")}).json()[0]

    def call(path):
        image = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        content = {"data": [image, 0.5], "fn_index": 0, "session_hash": "any"}
        return httpx.post(f"{app.address}gradio_api/run/predict", json=content, timeout=60)

    assert call(uploaded).status_code == 200
    refusal = call(photo)
    assert refusal.status_code == 500
    assert "Traceback" not in refusal.text
