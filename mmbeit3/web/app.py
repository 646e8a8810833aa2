"""The demo page: a Gradio app with one tab per task, served locally and without requests to other machines."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from types import ModuleType
from typing import Any

from mmbeit3.errors import UserError
from mmbeit3.web.tabs import Field, Tab

__all__ = ["build_app", "serve_app"]

_LAST_PORT = 65535
_KEEP_SECONDS = 3600
"""Time that uploads and pictures stay on disk."""
_HEIGHT = 360
"""Height of images in pixels, so that a tab fits on a screen."""
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


def build_app(tabs: Sequence[Tab]) -> Any:
    """Build the page.

    Args:
        tabs: the tabs, built by the functions in :data:`~mmbeit3.web.tabs.TABS`.

    Returns:
        The ``gradio.Blocks`` of the page.

    Raises:
        UserError: if there are no tabs, or Gradio is not installed.
    """
    if not tabs:
        raise UserError("the page has no tabs: give a config and a checkpoint for at least one task")
    gr = _gradio()
    with gr.Blocks(title="BEiT-3", analytics_enabled=False, delete_cache=(_KEEP_SECONDS, _KEEP_SECONDS)) as app:
        gr.Markdown("# BEiT-3")
        for tab in tabs:
            with gr.Tab(tab.title):
                _build_tab(gr, tab)
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
        _, address, _ = app.launch(server_name=host, server_port=port, theme=theme, **_LAUNCH_OPTIONS)
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


def _build_tab(gr: ModuleType, tab: Tab) -> None:
    with gr.Row():
        with gr.Column():
            inputs = []
            # Adjacent image fields share a row; other fields are stacked.
            for images, fields in groupby(tab.inputs, lambda field: field.kind == "image"):
                with gr.Row() if images else gr.Column():
                    inputs += [_component(gr, field) for field in fields]
            button = gr.Button(tab.button, variant="primary")
        with gr.Column():
            output = _component(gr, tab.output, is_input=False)
    gr.Markdown(html.escape(tab.note))
    texts = [part.submit for part, field in zip(inputs, tab.inputs, strict=True) if field.kind == "text"]
    # preprocess=False: Gradio would open the images itself and report unreadable ones with its own messages.
    gr.on([button.click, *texts], _handler(gr, tab), inputs, output, preprocess=False)


def _handler(gr: ModuleType, tab: Tab) -> Callable[..., Any]:
    """Return a function that takes values as the browser sends them and shows a UserError on the page."""

    def run(*values: Any) -> Any:
        try:
            return tab(*(value["path"] if isinstance(value, dict) else value for value in values))
        except UserError as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from error

    return run


def _component(gr: ModuleType, field: Field, is_input: bool = True) -> Any:
    """Return the Gradio component of a field.

    Args:
        gr: the gradio module.
        field: the field.
        is_input: True if the user fills the field.
    """
    if field.kind == "image" and is_input:
        return gr.Image(label=field.label, type="filepath", sources=["upload", "clipboard"], height=_HEIGHT)
    if field.kind == "image":
        return gr.Image(label=field.label, format="png", height=_HEIGHT, interactive=False, buttons=_BUTTONS)
    if field.kind == "text":
        return gr.Textbox(label=field.label, placeholder=field.hint, interactive=is_input)
    if field.kind == "fraction":
        return gr.Slider(0, 1, field.value, step=0.05, label=field.label)
    if field.kind == "count":
        return gr.Slider(1, 24, field.value, step=1, label=field.label)
    if field.kind == "scores":
        return gr.Label(label=field.label)
    return gr.Gallery(label=field.label, show_label=False, columns=3, height="auto", interactive=False, buttons=_BUTTONS)
