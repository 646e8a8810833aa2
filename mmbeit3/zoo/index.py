"""The index: ``model-index.yml`` and a ``metafile.yml`` per folder of configs, in OpenMMLab's schema.

Beyond that schema, a model may have ``Mirrors`` (further addresses of the same bytes), ``Vision Twin`` (the name of one that
holds its vision tower alone) and ``Needs`` (names of what its config reads). ``Files`` lists what is no model, with ``Source``
for its address.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from mmbeit3.errors import UserError
from mmbeit3.resources import path_of
from mmbeit3.zoo.schema import Result, Section, read_metafile

__all__ = ["Entry", "Result", "find", "for_task", "index_root", "read_index", "tasks"]


@dataclass(frozen=True)
class Entry:
    """A model, or a file that models need.

    Attributes:
        name: its name.
        task: the folder of configs that it belongs to, e.g. ``vqa``.
        sources: addresses of the same bytes, the first first; none for a config whose weights nobody published.
        config: path of the config that fits, relative to :func:`index_root`; None for what is no model.
        resolution: pixels of a side of the images that it is for.
        parameters: their number, where it was published.
        size: bytes, where known.
        sha256: hexadecimal, where known.
        results: scores that its authors report.
        scores_by: who reports them.
        license: what is known of it.
        vision_twin: name of the entry with the vision tower alone, in another layout.
        needs: names of the entries that its config reads.
        note: what else there is to know.
    """

    name: str
    task: str
    sources: tuple[str, ...] = ()
    config: str | None = None
    resolution: int | None = None
    parameters: int | None = None
    size: int | None = None
    sha256: str | None = None
    results: tuple[Result, ...] = ()
    scores_by: str | None = None
    license: str | None = None
    vision_twin: str | None = None
    needs: tuple[str, ...] = ()
    note: str | None = None


def index_root() -> Path:
    """The folder with ``model-index.yml`` and ``configs``: the checkout, or ``mmbeit3/.mim`` in a wheel.

    Raises:
        UserError: if there is no index.
    """
    return path_of("model-index.yml").parent


def read_index(root: Path | None = None) -> dict[str, Entry]:
    """Read the index.

    Args:
        root: its folder; default :func:`index_root`.

    Returns:
        Entries by name, in the index's order.

    Raises:
        UserError: if it is missing, or says what it may not.
    """
    return dict(_read(root or index_root()))


@lru_cache(maxsize=4)
def _read(root: Path) -> dict[str, Entry]:
    index = Section.of_file(root / "model-index.yml")
    entries: dict[str, Entry] = {}
    for path in index.texts("Import"):
        parts = Path(path).parts
        if Path(path).is_absolute() or ".." in parts or parts[-1] != "metafile.yml":
            raise UserError(f"'{root / 'model-index.yml'}' imports '{path}', which is no metafile.yml below it")
        for fields in read_metafile(root / path):
            if fields["name"] in entries:
                raise UserError(f"'{root / path}' names '{fields['name']}', which another metafile has named already")
            entries[fields["name"]] = Entry(task=Path(path).parent.name, **fields)
    for entry in entries.values():
        for name in (*entry.needs, *((entry.vision_twin,) if entry.vision_twin else ())):
            if not entries.get(name, Entry("", "")).sources:
                raise UserError(f"the index of '{root}' has no address of '{name}', which '{entry.name}' refers to")
    return entries


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: if there is none; with similar names.
    """
    entries = read_index()
    if name not in entries:
        close = get_close_matches(name, entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "see python tools/download.py --list"
        raise UserError(f"the zoo has no '{name}': {hint}")
    return entries[name]


def tasks() -> list[str]:
    """The tasks that have something to download, in the index's order."""
    entries = read_index()
    return list(dict.fromkeys(entry.task for entry in entries.values() if entry.sources or entry.needs))


def for_task(task: str) -> list[Entry]:
    """What there is to download for a task: its files, and those that its configs and its files need, each once.

    A file that others only stand in for, such as timm's copy of a vision tower, is not among them.

    Raises:
        UserError: if there is no such task.
    """
    if task not in tasks():
        raise UserError(f"the zoo has no task '{task}': choose one of {', '.join(tasks())}")
    entries = read_index()
    twins = {entry.vision_twin for entry in entries.values()}
    chosen = [entry for entry in entries.values() if entry.task == task and entry.name not in twins]
    needed = [entries[name] for entry in chosen for name in entry.needs]
    return list(dict.fromkeys([*needed, *(entry for entry in chosen if entry.sources)]))
