"""Reading one metafile: a slip in it is an error that names the field, and no lost download."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmbeit3.downloads import cache_path
from mmbeit3.errors import UserError, one_line

__all__ = ["Result", "Section", "read_metafile"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    """Scores on one dataset.

    Attributes:
        task: in the words of OpenMMLab's model zoos.
        dataset: with its split.
        metrics: names to values; percent, but for CIDEr.
    """

    task: str
    dataset: str
    metrics: tuple[tuple[str, float], ...]


class Section:
    """A mapping of the index, which knows where it stands.

    Args:
        content: what YAML gave.
        where: for messages.
    """

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping):
            raise UserError(f"{where} is no mapping of names to values")
        self._content = content
        self.where = where

    @classmethod
    def of_file(cls, path: Path) -> Section:
        """Read a YAML file.

        Raises:
            UserError: if it is missing or is none.
        """
        try:
            return cls(yaml.safe_load(path.read_text(encoding="utf-8")), f"'{path}'")
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"'{path}' cannot be read ({one_line(error)})") from error

    def get(self, key: str, kind: type, needed: bool = False) -> Any:
        """A value of a type, or None where it is missing or ``unknown``.

        Raises:
            UserError: if it is of another type, or missing and needed.
        """
        value = self._content.get(key)
        if value is None or value == _UNKNOWN:
            if needed:
                raise UserError(f"{self.where} lacks '{key}'")
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UserError(f"{self.where}: '{key}' must be {kind.__name__}, got {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where it is missing."""
        values = self.get(key, list) or []
        if not all(isinstance(value, str) for value in values):
            raise UserError(f"{self.where}: '{key}' must list strings, got {values!r}")
        return tuple(values)

    def part(self, key: str) -> Section:
        """A mapping in it; empty where it is missing."""
        return Section(self._content.get(key) or {}, f"{self.where}, {key}")

    def parts(self, key: str) -> list[Section]:
        """A list of mappings in it; each is called by its ``Name`` where it has one."""
        parts = []
        for number, value in enumerate(self.get(key, list) or []):
            name = value.get("Name", number) if isinstance(value, Mapping) else number
            parts.append(Section(value, f"{self.where}, {key} {name}"))
        return parts

    def numbers(self) -> tuple[tuple[str, float], ...]:
        """All of it, as names and numbers."""
        for name, value in self._content.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise UserError(f"{self.where}: '{name}' must be a number, got {value!r}")
        return tuple((str(name), float(value)) for name, value in self._content.items())


def read_metafile(path: Path) -> Iterator[dict[str, Any]]:
    """Read the models and files of a metafile, as the fields of an entry.

    Raises:
        UserError: naming the file, the entry and the field that is wrong.
    """
    metafile = Section.of_file(path)
    collections = {one.get("Name", str, needed=True): one for one in metafile.parts("Collections")}
    for model in metafile.parts("Models"):
        weights = model.get("Weights", str)
        sources = (weights, *model.texts("Mirrors")) if weights else ()
        yield {**_common(model, collections, sources), **_model(model)}
    for file in metafile.parts("Files"):
        yield _common(file, collections, (file.get("Source", str, needed=True), *file.texts("Mirrors")))


def _common(part: Section, collections: Mapping[str, Section], sources: tuple[str, ...]) -> dict[str, Any]:
    name = part.get("Name", str, needed=True)
    if not _NAME.fullmatch(name):
        raise UserError(f"{part.where}: the name is no plain file name")
    for source in sources:
        # Refuses addresses that are none, and paths that lead out of the cache.
        cache_path(source)
    collection = part.get("In Collection", str, needed=True)
    if collection not in collections:
        raise UserError(f"{part.where}: there is no collection '{collection}' in its file")
    metadata = part.part("Metadata")
    sha256 = metadata.get("SHA-256", str)
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(f"{part.where}: 'SHA-256' must be 64 hexadecimal digits, got {sha256!r}")
    return {
        "name": name,
        "sources": sources,
        "size": metadata.get("Size", int),
        "sha256": sha256,
        "license": collections[collection].part("Metadata").get("License", str),
        "note": metadata.get("Note", str) or metadata.get("Content", str),
    }


def _model(model: Section) -> dict[str, Any]:
    metadata = model.part("Metadata")
    results = tuple(
        Result(
            result.get("Task", str, needed=True),
            result.get("Dataset", str, needed=True),
            result.part("Metrics").numbers(),
        )
        for result in model.parts("Results")
    )
    return {
        "config": model.get("Config", str, needed=True),
        "resolution": metadata.get("Resolution", int),
        "parameters": metadata.get("Parameters", int),
        "results": results,
        "scores_by": metadata.get("Scores By", str, needed=bool(results)),
        "vision_twin": model.get("Vision Twin", str),
        "needs": model.texts("Needs"),
    }
