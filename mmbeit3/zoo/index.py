"""The index of models: ``model-index.yml`` and the ``metafile.yml`` files that it imports, in OpenMMLab's schema.

Fields beyond that schema: ``Mirrors`` of a model (more URLs of the same file), ``Vision Twin`` (name of the model that has only
its vision tower) and ``Needs`` (names of the files that its config reads); and the section ``Files`` for files that are not
models, with their URL as ``Source``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmbeit3.downloads import cache_path, is_url
from mmbeit3.errors import UserError
from mmbeit3.resources import path_of
from mmbeit3.zoo.schema import CheckedMapping

__all__ = ["Model", "Result", "files_for_task", "find", "index_root", "read_index", "tasks"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Result:
    """Published scores on one dataset.

    Attributes:
        dataset: dataset and split.
        metrics: names to values, in percent except for CIDEr.
        task: name of the task in OpenMMLab's model zoos, if stated.
    """

    dataset: str
    metrics: Mapping[str, float]
    task: str | None = None


@dataclass(frozen=True)
class Model:
    """A model of an index, or a file that models need; the latter has no config.

    Attributes:
        name: unique name.
        task: name of the folder of its metafile, e.g. ``vqa``.
        config: absolute path of its config; empty for a file that is not a model.
        sources: URLs of the same file, in order of preference; empty if it is not published.
        local_weights: absolute path of the checkpoint, if the index names a path instead of a URL.
        resolution: side of the input images in pixels.
        parameters: number of parameters, if published.
        size: size of the file in bytes, if known.
        sha256: SHA-256 of the file in hexadecimal, if known.
        results: published scores.
        scores_by: publisher of the scores.
        license: license, as far as known.
        vision_twin: name of the model with the vision tower alone, in timm's layout.
        needs: names of the files that its config reads.
        note: further information.
    """

    name: str
    task: str = ""
    config: str = ""
    sources: tuple[str, ...] = ()
    local_weights: str | None = None
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

    @property
    def weights(self) -> str | None:
        """First URL or path of the weights; None if there are none."""
        return self.sources[0] if self.sources else self.local_weights

    @property
    def published(self) -> dict[str, dict[str, float]]:
        """Published scores: names of metrics to names of datasets to values."""
        published: dict[str, dict[str, float]] = {}
        for result in self.results:
            for metric, value in result.metrics.items():
                published.setdefault(metric, {})[result.dataset] = value
        return published


def index_root() -> Path:
    """Return the folder of ``model-index.yml`` and ``configs``: the checkout, or ``mmbeit3/.mim`` in a wheel.

    Raises:
        UserError: if there is no index.
    """
    return path_of("model-index.yml").parent


def read_index(path: str | Path | None = None) -> dict[str, Model]:
    """Read an index and the files that it imports.

    Args:
        path: a YAML file with ``Models``, ``Files`` or ``Import``; default the package's ``model-index.yml``. Paths in it are
            relative to its folder or to one of the folders above.

    Returns:
        Models and files by name, in the order of the index.

    Raises:
        UserError: if a file is missing or a field is not valid.
    """
    return dict(_read_package_index(index_root() / "model-index.yml")) if path is None else _read(Path(path))


@lru_cache(maxsize=1)
def _read_package_index(path: Path) -> dict[str, Model]:
    return _read(path)


def _read(index: Path) -> dict[str, Model]:
    sections: dict[Path, CheckedMapping] = {}
    queue = [index]
    while queue:
        file = queue.pop(0)
        sections[file] = section = CheckedMapping.of_file(file)
        for imported in section.strings("Import"):
            parts = Path(imported).parts
            if Path(imported).is_absolute() or ".." in parts or Path(imported).suffix not in (".yml", ".yaml"):
                raise UserError(f"'{file}' imports '{imported}': expected a relative path of a YAML file without '..'")
            if file.parent / imported not in sections:
                queue.append(file.parent / imported)
    collections = {
        one.get("Name", str, required=True): one for section in sections.values() for one in section.sections("Collections")
    }
    models: dict[str, Model] = {}
    for file, section in sections.items():
        entries = [(entry, "Weights") for entry in section.sections("Models")]
        for entry, key in [*entries, *((entry, "Source") for entry in section.sections("Files"))]:
            model = _parse(entry, key, file, index, collections)
            if model.name in models:
                raise UserError(f"'{file}': the index has more than one entry named '{model.name}'")
            models[model.name] = model
    if not models:
        raise UserError(f"'{index}' lists no models: add 'Models' or 'Import'")
    for model in models.values():
        for name in (*model.needs, *((model.vision_twin,) if model.vision_twin else ())):
            if name not in models or not models[name].sources:
                raise UserError(f"'{index}' has no URL for '{name}', which '{model.name}' refers to")
    return models


def _parse(entry: CheckedMapping, key: str, file: Path, index: Path, collections: Mapping[str, CheckedMapping]) -> Model:
    """Parse an entry of ``Models`` or ``Files``; ``key`` is the field of its URL."""
    name = entry.get("Name", str, required=True)
    if not _NAME.fullmatch(name):
        raise UserError(f"{entry.where}: 'Name' may contain letters, digits, '_', '-' and single dots only")
    collection = entry.get("In Collection", str)
    if collection is not None and collections and collection not in collections:
        raise UserError(f"{entry.where}: the index has no collection '{collection}'")
    metadata = entry.section("Metadata")
    sha256 = metadata.get("SHA-256", str)
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(f"{entry.where}: 'SHA-256' must be 64 hexadecimal digits, got {sha256!r}")
    is_model = key == "Weights"
    config = entry.get("Config", str, required=is_model)
    results = [
        Result(result.get("Dataset", str, required=True), result.section("Metrics").numbers(), result.get("Task", str))
        for result in entry.sections("Results")
    ]
    return Model(
        name=name,
        task=file.absolute().parent.name,
        config=_resolve(config, file, index) if config else "",
        resolution=metadata.get("Resolution", int),
        parameters=metadata.get("Parameters", int),
        size=metadata.get("Size", int),
        sha256=sha256,
        results=tuple(results),
        scores_by=metadata.get("Scores By", str),
        license=collections[collection].section("Metadata").get("License", str) if collection in collections else None,
        vision_twin=entry.get("Vision Twin", str),
        needs=entry.strings("Needs"),
        note=metadata.get("Note", str) or metadata.get("Content", str),
        **_weights(entry, key, file, index),
    )


def _weights(entry: CheckedMapping, key: str, file: Path, index: Path) -> dict[str, Any]:
    """The fields ``sources`` and ``local_weights`` of an entry."""
    weights = entry.get(key, str, required=key == "Source")
    mirrors = entry.strings("Mirrors")
    if weights is None:
        return {}
    if key == "Weights" and not is_url(weights):
        return {"local_weights": _resolve(weights, file, index)}
    for url in (weights, *mirrors):
        cache_path(url)  # raises for URLs that are not valid, and for paths that would leave the cache
    return {"sources": (weights, *mirrors)}


def _resolve(path: str, file: Path, index: Path) -> str:
    """Return an absolute path; the folder of the metafile and all folders above it are searched."""
    folder = file.absolute().parent
    candidates = (parent / path for parent in (folder, *folder.parents))
    return str(next((found for found in candidates if found.is_file()), index.absolute().parent / path))


def find(name: str) -> Model:
    """Return a model or file of the package's index.

    Raises:
        UserError: if there is none of that name; the message suggests similar names.
    """
    models = read_index()
    if name not in models:
        close = get_close_matches(name, models, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "python tools/download.py --list shows all names"
        raise UserError(f"the zoo has no '{name}': {hint}")
    return models[name]


def tasks() -> list[str]:
    """Return the tasks with files to download, in the order of the index."""
    return list(dict.fromkeys(model.task for model in read_index().values() if model.sources or model.needs))


def files_for_task(task: str) -> list[Model]:
    """Return the files of a task, and those that they or the task's configs need.

    timm's copies of vision towers are left out: they only replace files that cannot be downloaded.

    Raises:
        UserError: if there is no such task.
    """
    if task not in tasks():
        raise UserError(f"the zoo has no task '{task}': choose one of {', '.join(tasks())}")
    models = read_index()
    twins = {model.vision_twin for model in models.values()}
    chosen = [model for model in models.values() if model.task == task and model.name not in twins]
    names = [*(name for model in chosen for name in model.needs), *(model.name for model in chosen if model.sources)]
    return [models[name] for name in dict.fromkeys(names)]
