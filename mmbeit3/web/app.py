"""The demo page: a Gradio app with one tab per task, served locally and without requests to other machines."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from mmbeit3.errors import UserError, one_line
from mmbeit3.web.examples import ExampleImages, choose_examples, example_rows
from mmbeit3.web.style import CSS, SCROLL, status_html, table_html
from mmbeit3.web.tab import Field, Tab

__all__ = ["build_app", "serve_app"]

_LAST_PORT = 65535
_KEEP_SECONDS = 3600
"""Time that uploads and pictures stay on disk."""
_HEIGHT = 320
"""Height of images to choose, in pixels, so that a tab fits on a screen."""
_RESULT_HEIGHT = 420
_BUTTONS = ["download", "fullscreen"]
_FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
"""Fonts of the operating system: Gradio's semi-bold font file lacks most letters of the headings."""
_LAUNCH_OPTIONS = {
    "share": False,
    "prevent_thread_lock": True,
    "quiet": True,
    "show_error": True,
    "max_file_size": "20mb",
    "footer_links": [],
    "run_history": False,
    "ssr_mode": False,
    "mcp_server": False,
}
"""Options of Gradio's ``launch``: no public link, no extra servers, and control returns to the caller."""
_TITLE = "mmbeit3: try BEiT-3 models"
_SENTENCE = "Click an example or give an image of your own. Images stay on the computer that serves this page."


def build_app(tabs: Sequence[Tab], examples: str | Path | None = None) -> Any:
    """Build the page.

    Args:
        tabs: the tabs, built by the functions in :data:`~mmbeit3.web.tabs.TABS`.
        examples: folder with images to click. Default: for each tab a few images of its model's test dataset; if they are not
            there, rendered images.

    Returns:
        The ``gradio.Blocks`` of the page.

    Raises:
        UserError: if there are no tabs, Gradio is not installed, or the folder has no image that can be read.
    """
    if not tabs:
        raise UserError("the page has no tabs: give a model for at least one task, such as --detection MODEL")
    gr = _gradio()
    # Gradio serves only files in temporary folders. The folder is deleted with the page.
    copies = TemporaryDirectory(prefix="mmbeit3-examples-")
    chosen = choose_examples(tabs, examples, Path(copies.name))
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(_KEEP_SECONDS, _KEEP_SECONDS)) as app:
        app.example_copies = copies
        gr.Markdown(f"# {_TITLE}\n{_SENTENCE}")
        for tab, images in zip(tabs, chosen, strict=True):
            with gr.Tab(tab.title):
                _build_tab(gr, tab, images)
    return app


def serve_app(app: Any, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Serve a page until ``app.close()``. There is no password: everyone who can connect to the host can use the page.

    Args:
        app: the page, from :func:`build_app`.
        host: address to listen on; the default accepts only connections from the same machine.
        port: port number; default the first free port from 7860.

    Returns:
        The URL of the page.

    Raises:
        UserError: if the port number is invalid or the port is not available.
    """
    if port is not None and not 1 <= port <= _LAST_PORT:
        raise UserError(f"port {port} does not exist: give a port from 1024 to {_LAST_PORT}, or leave --port out")
    theme = _gradio().themes.Default(**_FONTS)
    try:
        _, address, _ = app.launch(server_name=host, server_port=port, theme=theme, css=CSS, **_LAUNCH_OPTIONS)
    except OSError as error:
        raise UserError(
            f"the page cannot be served at {host}, port {port or '7860 and above'}: give another --host or --port"
        ) from error
    return address


def _gradio() -> ModuleType:
    """Import Gradio with its analytics turned off, which must happen before the import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}): pip install 'mmbeit3[app]'") from error
    return gradio


def _build_tab(gr: ModuleType, tab: Tab, images: ExampleImages) -> None:
    gr.Markdown(f"Model: {html.escape(tab.note)}")
    values, shown = example_rows(tab, images)
    with gr.Row():
        with gr.Column():
            examples = _example_list(gr, shown) if shown else None
            inputs = []
            # Adjacent image fields share a row; small fields, too; texts are stacked.
            for kind, fields in groupby(tab.inputs, _group):
                with gr.Column() if kind == "text" else gr.Row():
                    inputs += [_component(gr, field) for field in fields]
            button = gr.Button(tab.button, variant="primary")
        with gr.Column(elem_classes="mm-result"):
            status = gr.HTML(status_html())
            outputs = [_component(gr, field, is_input=False) for field in tab.outputs]
    texts = [part.submit for part, field in zip(inputs, tab.inputs, strict=True) if field.kind == "text"]
    run = {
        "fn": _handler(gr, tab),
        "inputs": inputs,
        "outputs": [status, *outputs],
        # Gradio would open the images itself and report unreadable ones with its own messages.
        "preprocess": False,
        "show_progress": "hidden",
        # One queue for all tabs.
        "concurrency_id": "model",
    }
    at_once: Any = {"show_progress": "hidden", "queue": False}
    waiting = status_html("Waiting for other predictions", "busy")
    # Narrow screens show the result below the inputs: scroll to it at once, and again when it has its full height.
    gr.on([button.click, *texts], lambda: waiting, None, status, **at_once).then(**run).then(None, js=SCROLL)
    button.click(None, js=SCROLL)
    if examples is not None:
        filled = examples.click(lambda index: [*values[index], waiting], examples, [*inputs, status], **at_once)
        filled.success(**run).then(None, js=SCROLL)
        examples.click(None, js=SCROLL)


def _example_list(gr: ModuleType, shown: list[list[str]]) -> Any:
    """Return the component with the examples, each a row of thumbnails and texts."""
    columns = [gr.Image(render=False) if Path(value).suffix == ".jpg" else gr.Textbox(render=False) for value in shown[0]]
    return gr.Dataset(label="Examples", components=columns, samples=shown, type="index", elem_classes="mm-examples")


def _handler(gr: ModuleType, tab: Tab) -> Callable[..., Iterator[Any]]:
    """Return a function that takes values as the browser sends them, and yields the status and the outputs."""
    unchanged = [gr.skip()] * len(tab.outputs)
    empty = [_update(gr, field, None) for field in tab.outputs]

    def run(*sent: Any) -> Iterator[Any]:
        values = [value["path"] if isinstance(value, dict) else value for value in sent]
        try:
            tab.check(*values)
            if not tab.is_ready(*values):
                yield [status_html("Loading the model. This takes a while at the first use.", "busy"), *empty]
                tab.load(*values)
            yield [status_html("Predicting", "busy"), *unchanged]
            start = time.monotonic()
            results = tab(*values)
            seconds = time.monotonic() - start
        except UserError as error:
            yield [status_html(str(error), "error"), *empty]
            return
        except Exception as error:
            # A fault of the program: the terminal shows the traceback.
            yield [status_html(f"The prediction failed: {one_line(error)}", "error"), *empty]
            raise
        with TemporaryDirectory() as folder:
            updates = [_update(gr, field, value, Path(folder)) for field, value in zip(tab.outputs, results, strict=True)]
            # Gradio copies the files before it continues this generator.
            yield [status_html(f"Done in {seconds:.{1 if seconds >= 1 else 2}f} s"), *updates]

    return run


def _update(gr: ModuleType, field: Field, value: Any, folder: Path | None = None) -> Any:
    """Return what Gradio needs to show a value of an output field.

    Args:
        gr: the gradio module.
        field: the field.
        value: the value; None for nothing.
        folder: folder to write files to.
    """
    if field.kind == "table":
        return table_html(value)
    if field.kind != "file":
        return value
    if value is None or folder is None:
        return gr.DownloadButton(value=None, visible=False)
    name, content = value
    path = folder / name
    path.write_bytes(content)
    return gr.DownloadButton(value=str(path), visible=True)


def _group(field: Field) -> str:
    return field.kind if field.kind in ("image", "text") else "small"


def _component(gr: ModuleType, field: Field, is_input: bool = True) -> Any:
    """Return the Gradio component of a field.

    Args:
        gr: the gradio module.
        field: the field.
        is_input: True if the user fills the field.
    """
    label = field.label
    if field.kind == "image" and is_input:
        sources = ["upload", "clipboard"]
        return gr.Image(label=label, type="filepath", sources=sources, height=_HEIGHT, elem_classes="mm-picture")
    if field.kind == "image":
        options = {"format": "png", "height": _RESULT_HEIGHT, "interactive": False, "buttons": _BUTTONS}
        return gr.Image(label=label, elem_classes="mm-picture", **options)
    if field.kind == "text" and is_input:
        return gr.Textbox(label=label, placeholder=field.hint)
    if field.kind == "text":
        return gr.Textbox(label=label, lines=2, max_lines=30, interactive=False)
    if field.kind == "fraction":
        return gr.Slider(0, 1, field.value, step=0.05, label=label)
    if field.kind == "count":
        return gr.Slider(1, 24, field.value, step=1, label=label)
    if field.kind == "pixels":
        return gr.Textbox(label=label, placeholder=field.hint, max_length=6)
    if field.kind == "scores":
        return gr.Label(label=label)
    if field.kind == "table":
        return gr.HTML(label=label)
    if field.kind == "file":
        return gr.DownloadButton(label, visible=False, size="md")
    options = {"columns": 3, "height": "auto", "object_fit": "contain", "interactive": False, "buttons": _BUTTONS}
    return gr.Gallery(label=label, show_label=False, elem_classes="mm-gallery", **options)
