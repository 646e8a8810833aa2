"""The models that any index names, the zoo's or a user's: what it imports, and weights that are files, are no downloads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlparse

from mmbeit3.errors import UserError
from mmbeit3.zoo.schema import Section

__all__ = ["Entry", "choose", "read_index"]

_WORDS = {"test": ("test",), "val": ("val", "dev")}
"""Split to the words with which its names begin in an index."""


@dataclass(frozen=True)
class Entry:
    """A model of an index.

    Attributes:
        name: its name.
        config: its config file.
        weights: path or address of its checkpoint; None if there is none.
        published: names of scores to names of data to values.
    """

    name: str
    config: Path
    weights: str | None
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that the model has published scores on."""
        return list(dict.fromkeys(name for values in self.published.values() for name in values))

    def published_on(self, split: str) -> dict[str, str]:
        """Return the data set to compare with for each published score: one named after the split, else the last one.

        Args:
            split: ``test`` or ``val``.
        """
        chosen = {}
        for metric, values in self.published.items():
            fitting = [name for name in values if any(word.startswith(_WORDS[split]) for word in re.findall(r"[\w-]+", name))]
            chosen[metric] = [*values, *fitting][-1]
        return chosen


def read_index(path: str | Path) -> list[Entry]:
    """Read the models of an index, and of the files that it imports, in their order.

    Args:
        path: a YAML file with ``Models``, ``Import`` or both. Paths in it start at its folder, or at one above that has them.

    Raises:
        UserError: if a file is missing or says something else, or a name comes twice.
    """
    entries = [_entry(model, file) for model, file in _models(Path(path))]
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"index '{path}' has more than one model named {', '.join(twice)}")
    return entries


def choose(entries: Sequence[Entry], patterns: Sequence[str]) -> list[Entry]:
    """Return the entries that match a pattern, in the order of the index.

    Args:
        entries: entries of an index.
        patterns: names, or patterns such as ``*_ade20k*``. Without patterns, all entries with weights and published scores are
            chosen.

    Raises:
        UserError: if a pattern matches no entry, or no entry is chosen.
    """
    chosen = {entry.name for entry in entries if not patterns and entry.weights and entry.published}
    for pattern in patterns:
        fitting = {entry.name for entry in entries if fnmatchcase(entry.name, pattern)}
        if not fitting:
            close = get_close_matches(pattern, [entry.name for entry in entries], n=3, cutoff=0.4)
            raise UserError(f"the index has no model '{pattern}'" + (f": did you mean {', '.join(close)}?" if close else ""))
        chosen |= fitting
    if not chosen:
        raise UserError("the index has no model with weights and published scores: name what to evaluate")
    return [entry for entry in entries if entry.name in chosen]


def _models(path: Path) -> Iterator[tuple[Section, Path]]:
    if not path.is_file():
        raise UserError(f"index '{path}' does not exist")
    index = Section.of_file(path)
    models, imports = index.parts("Models"), index.texts("Import")
    if not models and not imports:
        raise UserError(f"{index.where} names no models: it needs 'Models' or 'Import'")
    for model in models:
        yield model, path
    for imported in imports:
        yield from _models(path.parent / imported)


def _entry(model: Section, file: Path) -> Entry:
    published: dict[str, dict[str, float]] = {}
    for result in model.parts("Results"):
        for name, value in result.part("Metrics").numbers():
            published.setdefault(name, {})[result.get("Dataset", str, needed=True)] = value
    weights = model.get("Weights", str)
    if weights is not None and urlparse(weights).scheme not in ("http", "https"):
        weights = str(_find(weights, file))
    name, config = model.get("Name", str, needed=True), model.get("Config", str, needed=True)
    return Entry(name, _find(config, file), weights, published)


def _find(path: str, file: Path) -> Path:
    """A path of an index, which may count from the repository's root while the index is in a folder of it."""
    folder = file.resolve().parent
    candidates = [folder / path, *(parent / path for parent in folder.parents)]
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
