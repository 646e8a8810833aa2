"""The demo page: tabs as a Gradio app that is served from this machine and asks nothing of any other."""

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
_LARGEST_UPLOAD = "20mb"
_KEPT = 3600
"""Seconds that uploads and pictures stay on disk."""
_HEIGHT = 360
"""Of images in pixels, so that a tab fits on a screen."""
_BUTTONS = ["download", "fullscreen"]
_FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
"""The machine's own: the semi-bold file that comes with Gradio lacks most letters of its headings."""


def build_app(tabs: Sequence[Tab]) -> Any:
    """Make the page.

    Args:
        tabs: see :data:`~mmbeit3.web.tabs.TABS`.

    Returns:
        A ``gradio.Blocks``.

    Raises:
        UserError: if there are no tabs, or Gradio is not installed.
    """
    if not tabs:
        raise UserError("the page would be empty: give a config and a checkpoint for at least one task")
    gr = _gradio()
    with gr.Blocks(title="BEiT-3", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)) as app:
        gr.Markdown("# BEiT-3")
        for tab in tabs:
            with gr.Tab(tab.title):
                _fill(gr, tab)
    return app


def serve_app(app: Any, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Serve a page until ``app.close()``. There is no password: whoever reaches the host can use it.

    Args:
        app: from :func:`build_app`.
        host: address to listen at; the default is reached from this machine only.
        port: default the first free one from 7860.

    Returns:
        The page's address.

    Raises:
        UserError: if the port cannot be had, or there is none of that number.
    """
    if port is not None and not 1 <= port <= _LAST_PORT:
        raise UserError(f"there is no port {port}: give one from 1024 to {_LAST_PORT}, or leave --port out")
    theme = _gradio().themes.Default(**_FONTS)
    try:
        _, address, _ = app.launch(
            server_name=host,
            server_port=port,
            theme=theme,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            max_file_size=_LARGEST_UPLOAD,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
        )
    except OSError as error:
        raise UserError(
            f"no page can be served at {host}, port {port or '7860 and above'}: give another --host or --port"
        ) from error
    return address


def _gradio() -> ModuleType:
    """Gradio, told to stay silent before it is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}): pip install 'mmbeit3[app]'") from error
    return gradio


def _fill(gr: ModuleType, tab: Tab) -> None:
    with gr.Row():
        with gr.Column():
            inputs = []
            for images, fields in groupby(tab.inputs, lambda field: field.kind == "image"):
                with gr.Row() if images else gr.Column():
                    inputs += [_component(gr, field) for field in fields]
            button = gr.Button(tab.button, variant="primary")
        with gr.Column():
            output = _component(gr, tab.output, taken=False)
    gr.Markdown(html.escape(tab.note))
    texts = [part.submit for part, field in zip(inputs, tab.inputs, strict=True) if field.kind == "text"]
    # Gradio would open images itself, and say in its own way of those that it cannot.
    gr.on([button.click, *texts], _for_page(gr, tab), inputs, output, preprocess=False)


def _for_page(gr: ModuleType, tab: Tab) -> Callable[..., Any]:
    """A tab that takes values as the browser sends them, and whose refusals appear on the page."""

    def run(*values: Any) -> Any:
        try:
            return tab(*(value["path"] if isinstance(value, dict) else value for value in values))
        except UserError as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from error

    return run


def _component(gr: ModuleType, field: Field, taken: bool = True) -> Any:
    """The widget of a field.

    Args:
        gr: the gradio package.
        field: what to show.
        taken: whether it is filled by the user.
    """
    if field.kind == "image" and taken:
        return gr.Image(label=field.label, type="filepath", sources=["upload", "clipboard"], height=_HEIGHT)
    if field.kind == "image":
        return gr.Image(label=field.label, format="png", height=_HEIGHT, interactive=False, buttons=_BUTTONS)
    if field.kind == "text":
        return gr.Textbox(label=field.label, placeholder=field.hint, interactive=taken)
    if field.kind == "share":
        return gr.Slider(0, 1, field.value, step=0.05, label=field.label)
    if field.kind == "count":
        return gr.Slider(1, 24, field.value, step=1, label=field.label)
    if field.kind == "scores":
        return gr.Label(label=field.label)
    return gr.Gallery(label=field.label, show_label=False, columns=3, height="auto", interactive=False, buttons=_BUTTONS)
