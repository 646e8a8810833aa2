"""A self-contained HTML page with text, tables of scores, and rows of pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import cv2
import numpy as np

from mmbeit3.files import write_atomically

__all__ = ["Figure", "Section", "write_report"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p, figcaption { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
td:last-child { font-variant-numeric: tabular-nums; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem; margin: 1rem 0; }
figure { margin: 0; } img { width: 100%; border-radius: 4px; image-rendering: auto; }
figcaption { color: var(--soft); font-size: .85rem; }
"""


@dataclass
class Figure:
    """A picture with a caption.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        caption: text below the picture.
        lossy: True to store the picture as JPEG, for photographs; False for PNG.
    """

    image: np.ndarray
    caption: str
    lossy: bool = False


@dataclass
class Section:
    """A section of a report.

    Attributes:
        title: heading.
        text: a paragraph.
        scores: names to values, shown as a table. Numbers have one decimal; scores are in percent.
        rows: rows of pictures.
        table: rows of cells, the first one is the header; shown above the pictures. Numbers have one decimal.
    """

    title: str
    text: str = ""
    scores: Mapping[str, str | float] = field(default_factory=dict)
    rows: Sequence[Sequence[Figure]] = ()
    table: Sequence[Sequence[str | float]] = ()


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page atomically. The pictures are embedded, so the page loads no other file.

    Args:
        path: the HTML file.
        title: title of the page.
        sections: sections of the page.
    """
    body = "\n".join(_section(section) for section in sections)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    write_atomically(path, page.encode())


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.scores:
        cells = "".join(f"<tr><td>{escape(name)}</td><td>{_value(value)}</td></tr>" for name, value in section.scores.items())
        parts.append(f"<table>{cells}</table>")
    if section.table:
        header, *body = section.table
        parts.append(f"<table>{_row('th', header)}{''.join(_row('td', row) for row in body)}</table>")
    for row in section.rows:
        parts.append('<div class="row">' + "".join(_figure(figure) for figure in row) + "</div>")
    return "\n".join(parts)


def _row(cell: str, values: Sequence[str | float]) -> str:
    return "<tr>" + "".join(f"<{cell}>{_value(value)}</{cell}>" for value in values) + "</tr>"


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.1f}"


def _figure(figure: Figure) -> str:
    kind = "jpeg" if figure.lossy else "png"
    _, encoded = cv2.imencode(f".{kind}", figure.image[..., ::-1])
    data = base64.b64encode(encoded.tobytes()).decode()
    caption = escape(figure.caption)
    return f'<figure><img alt="{caption}" src="data:image/{kind};base64,{data}"><figcaption>{caption}</figcaption></figure>'
