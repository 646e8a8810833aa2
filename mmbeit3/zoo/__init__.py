"""The model zoo: released files by name, downloaded with verification and cached."""

from mmbeit3.zoo.fetching import download_model, fetch, load, local_path
from mmbeit3.zoo.index import Model, Result, files_for_task, find, index_root, read_index, tasks
from mmbeit3.zoo.table import markdown_tables, terminal_table

__all__ = [
    "Model",
    "Result",
    "download_model",
    "fetch",
    "files_for_task",
    "find",
    "index_root",
    "load",
    "local_path",
    "markdown_tables",
    "read_index",
    "tasks",
    "terminal_table",
]
