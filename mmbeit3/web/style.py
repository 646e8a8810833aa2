"""Style sheet of the demo page, and HTML of its status lines and tables. Colours are those of Gradio's theme."""

from __future__ import annotations

from html import escape

from mmbeit3.web.tab import Table

__all__ = ["CSS", "SCROLL", "status_html", "table_html"]

CSS = """
.mm-result .html-container { padding: 0; }
.mm-status { min-height: 1.6em; font-size: var(--text-md); }
.mm-status .mm-busy::before {
  content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 50%;
  border: 2px dotted var(--color-accent); animation: mm-turn 1s linear infinite;
}
.mm-status .mm-error {
  padding: .6em .8em; border-radius: var(--radius-md); overflow-wrap: anywhere;
  color: var(--error-text-color); background: var(--error-background-fill); border: 1px solid var(--error-border-color);
}
@keyframes mm-turn { to { transform: rotate(360deg); } }
.mm-table { max-height: 24em; overflow: auto; }
.mm-table p { margin: 0 0 .4em; font-weight: 600; overflow-wrap: anywhere; }
.mm-table table { width: 100%; border-collapse: collapse; font-size: var(--text-sm); font-variant-numeric: tabular-nums; }
.mm-table th, .mm-table td {
  padding: .3em .5em; text-align: right; white-space: nowrap; color: var(--body-text-color);
  border-width: 0 0 1px; border-style: solid; border-color: var(--border-color-primary);
}
.mm-table th:first-child, .mm-table td:first-child { text-align: left; white-space: normal; }
.mm-table table, .mm-table tr { border-width: 0; }
.mm-table th { position: sticky; top: 0; background: var(--background-fill-primary); font-weight: 600; }
.mm-table i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
@media (max-width: 640px) {
  .mm-table th, .mm-table td { padding: .3em .25em; }
  .mm-result .mm-picture { height: auto !important; min-height: 12em; }
  .mm-gallery .grid-container { grid-template-columns: repeat(2, 1fr); }
}
.mm-gallery .caption-label { max-width: 100%; }
.mm-gallery .grid-wrap { max-height: none; }
.mm-picture img { width: 100%; height: 100%; object-fit: contain; }
.mm-result .image-container > button { padding-top: 2em; box-sizing: border-box; }
"""
"""Gradio drops a shorthand such as ``border`` with a variable if another property changes a part of it."""

SCROLL = """
() => {
  const panel = [...document.querySelectorAll(".mm-result")].find((each) => each.offsetParent);
  if (panel && panel.getBoundingClientRect().top > window.innerHeight * 0.4) {
    panel.scrollIntoView({ behavior: "smooth", block: "start" });
  }
}
"""
"""JavaScript that shows the result where it is below the inputs, on narrow screens."""


def status_html(text: str = "", kind: str = "") -> str:
    """Return a status line.

    Args:
        text: the text. Its first letter becomes a capital.
        kind: ``'busy'``, ``'error'`` or empty.
    """
    role = "alert" if kind == "error" else "status"
    shown = escape(text[:1].upper() + text[1:])
    return f'<div class="mm-status"><div role="{role}" class="mm-{kind or "done"}">{shown}</div></div>'


def table_html(table: Table | None) -> str:
    """Return a table with its summary, and the colour of each row."""
    if table is None:
        return ""
    head = "".join(f"<th>{escape(header)}</th>" for header in table.headers)
    rows = []
    for (first, *others), colour in zip(table.rows, table.colours, strict=True):
        square = f'<i style="background: rgb{colour}"></i>'
        rows.append(f"<tr><td>{square}{escape(first)}</td>{''.join(f'<td>{escape(text)}</td>' for text in others)}</tr>")
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    return f'<div class="mm-table"><p>{escape(table.summary)}</p>{body}</div>'
