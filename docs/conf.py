"""Configuration of the documentation site, which ``make docs`` builds.

We use Sphinx because the docstrings are written in its markup with Google's sections, and because its warnings can be errors.
The pages are Markdown (MyST), so that they are readable in a repository too. Alternatives: Material for MkDocs and MkDocs 1 are
at their end of life, their successor Zensical reads docstrings only provisionally, and neither supports this markup.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers.shell import BashLexer
from pygments.token import Name
from sphinx import addnodes
from sphinx.application import Sphinx

import mmbeit3
import mmbeit3.registry  # must come before any import of mmdet

project = "mmbeit3"
author = "The mmbeit3 authors"
copyright = "The mmbeit3 authors, Apache 2.0"
version = release = mmbeit3.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["_build"]
# A reference to a missing object of mmbeit3 is a warning. References to other projects are not checked: that needs downloads.
nitpicky = True
# An alias of several types, a private base class, and type variables: Sphinx finds no documented class of these names.
nitpick_ignore = [("py:class", "mmbeit3.checkpoint.lazy.Value"), ("py:class", "mmbeit3.downloads.retry.TransientError")]
nitpick_ignore_regex = [("py:class", r".*\.[TR]"), ("py:.*", r"(?!mmbeit3\.).*|.*\._\w+")]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Only the tables of the reference; its pages are written by hand.
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"
highlight_language = "none"

html_theme = "furo"
html_title = f"mmbeit3 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False


class ShellLexer(BashLexer):
    """Shell commands with colours for programs and options, which the lexer of Pygments shows as plain text."""

    name = "Shell commands"
    tokens: dict[str, Any] = {
        **BashLexer.tokens,
        "root": [
            (r"^(\$ )?(python3?|pip|make|mim|torchrun|source|git|ffmpeg)\b", Name.Function),
            (r"(?<!\S)--?[A-Za-z][\w-]*", Name.Attribute),
            *BashLexer.tokens["root"],
        ],
    }


SEARCH_WORDS = {
    "own-data": (
        "own data",
        "my images",
        "own images",
        "custom dataset",
        "custom data",
        "labels",
        "label images",
        "coco format",
    ),
    "getting-started": ("install", "colab", "notebook", "jupyter", "quick start", "cpu"),
    "own-data#choose-a-config-and-set-the-classes": ("num_classes", "num classes", "classes"),
    "own-data#check-the-data": ("check data", "prepare_data"),
    "training": ("train", "log", "loss", "console", "progress bar"),
    "training#tensorboard-and-weights-biases": ("tensorboard", "wandb", "weights & biases"),
    "training#averaged-weights-ema": ("ema",),
    "training#early-stop": ("early stop", "early stopping"),
    "training#stop-and-resume": ("resume", "interrupt"),
    "training#a-loss-that-is-nan-or-infinite": ("nan", "inf"),
    "prediction#in-python": ("gpu", "predict", "inference", "load_model", "device"),
    "prediction#results": ("boxes", "masks", "supervision", "results"),
    "prediction#with-one-command": ("batch size", "csv", "coco json", "folder"),
    "prediction#large-images": ("tile", "tiles", "sahi", "large images", "satellite", "small objects"),
    "prediction#videos-and-long-folders": ("video", "videos", "webcam", "stream"),
    "prediction#with-mmdet-s-or-mmseg-s-own-inferencers": ("detinferencer", "mmseginferencer", "mmdet", "mmseg"),
    "configs#memory-and-time": ("batch size", "gpu", "gpu memory", "epochs", "training time", "iterations"),
    "performance#memory-and-recomputation": ("out of memory", "oom", "memory", "with_cp", "gpu memory"),
    "checkpoints#publish": ("publish", "model card", "share a model"),
    "checkpoints": ("weights", "load weights", "checkpoint"),
    "zoo": ("download", "pretrained weights", "weights"),
    "export": ("onnx",),
}
"""Words that people type into the search box, by the page or section to list first. Sphinx itself only counts words."""


def add_search_words(app: Sphinx, doctree: nodes.document) -> None:
    """Add the words as main entries of the index, which the search prefers."""
    for place, words in SEARCH_WORDS.items():
        name, _, section = place.partition("#")
        if name == app.env.docname:
            target = section if section in doctree.ids else ""
            entries = [("single", word, target, "main", None) for word in words]
            doctree.insert(0, addnodes.index(entries=entries))


def list_modules(app: Sphinx, name: str, source: list[str]) -> None:
    """Add a table of the modules of each page to the index of the reference, with the first sentence of each docstring."""
    if name != "api/index":
        return
    parts = [source[0], "\n.. currentmodule:: mmbeit3\n"]
    for page in re.findall(r"^   (\w+)$", source[0], re.M):
        text = (Path(app.srcdir) / "api" / f"{page}.rst").read_text(encoding="utf-8")
        title = text.splitlines()[0]
        modules = re.findall(r"automodule:: mmbeit3\.(\S+)", text)
        table = "\n".join(f"   {module}" for module in modules)
        parts.append(f"\n{title}\n{'-' * len(title)}\n\n.. autosummary::\n   :nosignatures:\n\n{table}\n")
    source[0] = "".join(parts)


def setup(app: Sphinx) -> None:
    """Register the lexer, the tables of modules and the search words; Sphinx calls this function."""
    for alias in ("bash", "sh", "shell"):
        app.add_lexer(alias, ShellLexer)
    app.connect("source-read", list_modules)
    app.connect("doctree-read", add_search_words)
