"""Style sheet of the demo page, and HTML of its status lines and tables. Colours are those of Gradio's theme."""

from __future__ import annotations

from html import escape

from mmbeit3.web.tab import Table

__all__ = ["CSS", "SCROLL", "status_html", "table_html"]

CSS = """
.mm-status { min-height: 1.6em; font-size: var(--text-md); }
.mm-status .mm-busy::before {
  content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 50%;
  border: 2px solid var(--color-accent); border-right-color: transparent; animation: mm-turn 1s linear infinite;
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
  padding: .3em .5em; text-align: right; border-bottom: 1px solid var(--border-color-primary); color: var(--body-text-color);
}
.mm-table th:first-child, .mm-table td:first-child { text-align: left; overflow-wrap: anywhere; }
.mm-table th { position: sticky; top: 0; background: var(--background-fill-primary); font-weight: 600; }
.mm-table i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.mm-picture img { width: 100%; height: 100%; object-fit: contain; }
"""
"""Besides colours and sizes: small pictures are shown as large as their field."""

SCROLL = """
() => {
  const panel = [...document.querySelectorAll(".mm-result")].find((each) => each.offsetParent);
  if (panel && panel.getBoundingClientRect().top > window.innerHeight * 0.6) {
    panel.scrollIntoView({ behavior: "smooth", block: "start" });
  }
}
"""
"""JavaScript that shows the result where it is below the inputs, on narrow screens."""


def status_html(text: str = "", kind: str = "") -> str:
    """Return a status line.

    Args:
        text: the text.
        kind: ``'busy'``, ``'error'`` or empty.
    """
    role = "alert" if kind == "error" else "status"
    return f'<div class="mm-status"><div role="{role}" class="mm-{kind or "done"}">{escape(text)}</div></div>'


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
