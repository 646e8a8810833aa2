"""The demo page in a real browser: give an image or click an example, and check the answer, the picture, or the error."""

import inspect
import json
import re
import shutil
import sys
import threading
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
    tab = TABS["vqa"](str(tmp_path / "config.py"), str(tmp_path / "weights.pth"))
    with pytest.raises(UserError, match=re.escape("pip install 'mmbeit3[app]'")):
        build_app([tab])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: the page has no tabs: give a model for at least one task, such as --detection MODEL\n"),
        (("--vqa", "none.py", "none.pth"), "error: config 'none.py' does not exist\n"),
        (("--vqa", "a", "b", "c"), "demo_app.py: error: argument --vqa: expected MODEL [CHECKPOINT], got 3 arguments\n"),
        (
            ("--retrieval", "a"),
            "demo_app.py: error: argument --retrieval: expected MODEL [CHECKPOINT] FOLDER, got 1 arguments\n",
        ),
    ],
)
def test_the_command_refuses(run_tool, arguments, message):
    code, output = run_tool("demo_app", *arguments)
    assert code == 2
    assert output.err.splitlines(keepends=True)[-1] == message


def test_examples_that_are_not_there(run_tool, arguments):
    pytest.importorskip("gradio")
    code, output = run_tool("demo_app", "--caption", *arguments["caption"], "--examples", "nowhere")
    assert code == 2
    assert output.err.splitlines()[-1] == "error: folder 'nowhere' does not exist: give a folder of images, or a list of paths"


def test_help_shows_the_arguments_of_a_model(run_tool):
    _, output = run_tool("demo_app", "--help")
    assert "--detection MODEL [CHECKPOINT]\n" in output.out
    assert "--retrieval MODEL [CHECKPOINT] FOLDER\n" in output.out


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


def open_tab(page, tabs, task):
    page.get_by_role("tab", name=tabs[task].title).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def upload(panel, path, which=0):
    panel.locator("input[type=file]").nth(which).set_input_files(path)
    panel.locator(".mm-picture img").nth(which).wait_for()


def press(panel, tabs, task):
    panel.get_by_role("button", name=tabs[task].button, exact=True).click()


def pixels_of(page, picture):
    """Return the pixels of an ``img`` element, uint8 (H, W, 3), RGB."""
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    content = page.request.get(picture.get_attribute("src")).body()
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def done(panel):
    """Wait for the end of a prediction, and check that there is no error."""
    panel.locator(".mm-done, .mm-error").filter(has_text=re.compile(".")).wait_for()
    assert panel.get_by_role("status").inner_text().startswith("Done in ")


def refused(panel, text):
    """Check that the panel shows this message and no result."""
    panel.get_by_role("alert").filter(has_text=text).wait_for()
    assert panel.get_by_role("alert").inner_text() == text
    assert panel.locator(".mm-result img").count() == 0


def test_a_tab_for_each_model(page, tabs):
    assert [tab.inner_text() for tab in page.get_by_role("tab").all()] == [tab.title for tab in tabs.values()]


def test_question(page, tabs, photo):
    panel = open_tab(page, tabs, "vqa")
    upload(panel, photo)
    panel.get_by_label("Question").fill("is the box red?")
    press(panel, tabs, "vqa")
    answer = panel.get_by_test_id("label-output-value")
    answer.wait_for()
    (expected,) = tabs["vqa"](photo, "is the box red?")
    assert answer.inner_text() == next(iter(expected))
    assert all(name in panel.inner_text() for name in ANSWERS)
    assert f"{next(iter(expected.values())):.0%}" in panel.inner_text()


def test_detection(page, tabs, photo):
    panel = open_tab(page, tabs, "detection")
    upload(panel, photo)
    panel.get_by_label("number input for Score threshold").fill("0.1")
    press(panel, tabs, "detection")
    picture, table, (name, content), _ = tabs["detection"](photo, 0.1, "")
    np.testing.assert_array_equal(pixels_of(page, panel.locator(".mm-result img")), picture)
    assert panel.locator(".mm-table p").inner_text() == table.summary
    shown = [row.locator("td").all_inner_texts() for row in panel.locator(".mm-table tbody tr").all()[:5]]
    assert shown == [list(row) for row in table.rows[:5]]
    assert panel.locator(".mm-table tbody tr").count() == len(table.rows) > 5
    with page.expect_download() as started:
        panel.get_by_role("link", name="Download JSON").or_(panel.get_by_role("button", name="Download JSON")).first.click()
    assert started.value.suggested_filename == name == "photo_results.json"
    assert json.loads(Path(started.value.path()).read_bytes()) == json.loads(content)
    assert panel.get_by_text("Download labels").count() == 0


def test_segmentation(page, tabs, photo):
    panel = open_tab(page, tabs, "segmentation")
    upload(panel, photo)
    press(panel, tabs, "segmentation")
    picture, table, _, (name, content) = tabs["segmentation"](photo, "")
    np.testing.assert_array_equal(pixels_of(page, panel.locator(".mm-result img")), picture)
    assert panel.locator(".mm-table tbody tr").count() == len(table.rows)
    with page.expect_download() as started:
        panel.get_by_role("link", name="Download labels").or_(panel.get_by_role("button", name="Download labels")).first.click()
    assert started.value.suggested_filename == name == "photo_labels.png"
    assert Path(started.value.path()).read_bytes() == content


def test_the_state_of_the_model_and_a_long_caption(browser, arguments, photo):
    pytest.importorskip("gradio")
    tab = TABS["caption"](*arguments["caption"], device="cpu")
    loading, build = threading.Event(), tab.build
    tab.build = lambda: loading.wait(15) and build()
    tab.predict = lambda *_: ("a caption of many words " * 30,)
    made = build_app([tab])
    page = browser.new_page()
    try:
        page.goto(serve_app(made))
        panel = page.get_by_role("tabpanel")
        upload(panel, photo)
        panel.get_by_role("button", name="Describe").click()
        panel.get_by_role("status").filter(has_text="Loading the model").wait_for()
        other = browser.new_page()
        other.goto(page.url)
        other.get_by_role("button", name="Describe").click()
        other.get_by_role("status").filter(has_text="Waiting for other predictions").wait_for()
        loading.set()
        other.get_by_role("alert").filter(has_text="The field 'Image' has no image").wait_for()
        other.close()
        panel.get_by_role("status").filter(has_text="Done in").wait_for()
        # The whole caption is visible: the field grows.
        page.wait_for_function("field => field.value", arg=panel.get_by_label("Caption").element_handle())
        assert panel.get_by_label("Caption").evaluate("field => field.scrollHeight - field.clientHeight") < 10
        assert panel.get_by_label("Caption").bounding_box()["height"] > 100
    finally:
        page.close()
        made.close()


def test_narrow_screens(browser, app, tabs, photo):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(app.address)
    panel = open_tab(page, tabs, "detection")
    upload(panel, photo)
    panel.get_by_label("number input for Score threshold").fill("0.1")
    press(panel, tabs, "detection")
    done(panel)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # The page scrolls to the result.
    page.wait_for_function("document.querySelector('.mm-result').getBoundingClientRect().top < 400")
    table = panel.locator(".mm-table table").bounding_box()
    assert table["x"] >= 0
    assert table["x"] + table["width"] <= 390
    page.close()


def test_caption(page, tabs, photo):
    panel = open_tab(page, tabs, "caption")
    upload(panel, photo)
    press(panel, tabs, "caption")
    (expected,) = tabs["caption"](photo)
    page.wait_for_function("field => field.value", arg=panel.get_by_label("Caption").element_handle())
    assert panel.get_by_label("Caption").input_value() == expected


def test_search_by_text_with_the_enter_key(page, tabs):
    panel = open_tab(page, tabs, "retrieval")
    field = panel.get_by_label("Text")
    field.fill("a blue box")
    field.press("Enter")
    panel.locator(".caption-label").first.wait_for()
    expected = [caption for _, caption in tabs["retrieval"]("a blue box", None, 6)[0]]
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
    (found,) = tabs["nlvr2"](*map(str, images[:2]), "two green triangles")
    assert answer.inner_text() == max(found, key=found.get)


def test_class_names(page, tabs, photo):
    panel = open_tab(page, tabs, "classify")
    upload(panel, photo)
    panel.get_by_label("Class names").fill("fox, box")
    press(panel, tabs, "classify")
    panel.get_by_test_id("label-output-value").wait_for()
    assert {"fox", "box"} <= set(panel.inner_text().split())


def test_an_example_fills_the_fields_and_predicts(page, tabs):
    page.reload()
    panel = open_tab(page, tabs, "vqa")
    panel.locator(".mm-examples tbody tr").nth(1).click()
    done(panel)
    assert panel.get_by_label("Question").input_value() == "is there a star"
    assert pixels_of(page, panel.locator(".mm-picture img").first).shape == (256, 256, 3)
    panel = open_tab(page, tabs, "caption")
    panel.locator(".mm-examples button").nth(5).click()
    done(panel)
    panel = open_tab(page, tabs, "retrieval")
    panel.get_by_role("button", name="an animal").click()
    done(panel)
    assert panel.locator(".caption-label").count() == 5


def test_refusals_are_one_line_on_the_page(page, tabs, photo, tmp_path):
    page.reload()
    panel = open_tab(page, tabs, "vqa")
    press(panel, tabs, "vqa")
    refused(panel, "The field 'Image' has no image: choose an image, or drop one on the field")
    upload(panel, photo)
    press(panel, tabs, "vqa")
    refused(panel, "Question 0 is empty (''): give at least one word")
    (tmp_path / "text.png").write_text("no image")
    panel = open_tab(page, tabs, "caption")
    panel.locator("input[type=file]").set_input_files(tmp_path / "text.png")
    panel.locator(".mm-picture img").wait_for(state="attached")
    press(panel, tabs, "caption")
    refused(panel, "The file 'text.png' is not an image or is damaged: give a JPEG or PNG file")


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


def test_only_uploads_are_read(app, photo, tmp_path):
    """A visitor cannot read files of the server by their paths."""
    httpx = pytest.importorskip("httpx")
    api = f"{app.address}gradio_api"
    number = next(number for number, event in app.fns.items() if inspect.isgeneratorfunction(event.fn))
    uploaded = httpx.post(f"{api}/upload", files={"files": ("photo.png", Path(photo).read_bytes())}).json()[0]

    def call(path):
        image = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        content = {"data": [image, 0.5, ""], "fn_index": number, "session_hash": Path(path).stem}
        httpx.post(f"{api}/queue/join", json=content).raise_for_status()
        with httpx.stream("GET", f"{api}/queue/data", params={"session_hash": content["session_hash"]}, timeout=60) as answer:
            for line in answer.iter_lines():
                if '"process_completed"' in line:
                    return json.loads(line.removeprefix("data: "))
        return None

    result = call(uploaded)
    assert result["success"]
    assert "Done in" in json.dumps(result["output"])
    shutil.copy(photo, tmp_path / "other.png")
    refusal = call(tmp_path / "other.png")
    assert not refusal["success"]
    assert "Traceback" not in json.dumps(refusal)
