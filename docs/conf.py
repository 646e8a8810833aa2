"""Configuration of the documentation site, which ``make docs`` builds.

We use Sphinx because the docstrings are written in its markup with Google's sections, and because its warnings can be errors.
The pages are Markdown (MyST), so that they are readable in a repository too. Alternatives: Material for MkDocs and MkDocs 1 are
at their end of life, their successor Zensical reads docstrings only provisionally, and neither supports this markup.
"""

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
html_js_files = ["copy.js"]
html_copy_source = False
html_show_sphinx = False
