"""The released files by name: what they are, where they come from, and how to have them checked and once on disk."""

from mmbeit3.zoo.fetching import fetch, load, where
from mmbeit3.zoo.index import Entry, Result, find, for_task, index_root, read_index, tasks
from mmbeit3.zoo.table import markdown, plain

__all__ = [
    "Entry",
    "Result",
    "fetch",
    "find",
    "for_task",
    "index_root",
    "load",
    "markdown",
    "plain",
    "read_index",
    "tasks",
    "where",
]
