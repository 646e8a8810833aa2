"""The index of public data sets: ``dataset-index.yml``, packaged beside ``model-index.yml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mmbeit3.downloads import cache_path
from mmbeit3.errors import UserError
from mmbeit3.resources import path_of
from mmbeit3.zoo.schema import CheckedMapping

__all__ = ["KnownDataset", "find_known", "read_known"]


@dataclass(frozen=True)
class KnownDataset:
    """A public data set.

    Attributes:
        name: name for the command line.
        title: content in a few words.
        sources: URLs of the same archive, in order of preference.
        homepage: page of the publisher.
        license: SPDX identifier of the licence.
        terms: what the licence allows, in a few words.
        classes: class names, in the order of the labels.
        recipe: config that trains on it.
        revision: commit of the archive; None if it is the newest state of a branch.
        size: size of the archive in bytes, if known.
        sha256: SHA-256 of the archive in hexadecimal, if known.
        note: the splits.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    homepage: str
    license: str
    terms: str
    classes: tuple[str, ...]
    recipe: str
    revision: str | None = None
    size: int | None = None
    sha256: str | None = None
    note: str | None = None


def read_known(path: str | Path | None = None) -> dict[str, KnownDataset]:
    """Read the index.

    Args:
        path: a YAML file; default the package's ``dataset-index.yml``.

    Returns:
        Name to data set, in the order of the file.

    Raises:
        UserError: if the file is missing or a field is not valid.
    """
    index = Path(path) if path is not None else path_of("dataset-index.yml")
    found: dict[str, KnownDataset] = {}
    for entry in CheckedMapping.of_file(index).sections("Datasets"):
        known = _parse(entry)
        if known.name in found:
            raise UserError(f"'{index}' has more than one data set named '{known.name}'")
        found[known.name] = known
    if not found:
        raise UserError(f"'{index}' lists no data sets: add 'Datasets'")
    return found


def _parse(entry: CheckedMapping) -> KnownDataset:
    metadata = entry.section("Metadata")
    sha256 = metadata.get("SHA-256", str)
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(f"{entry.where}: 'SHA-256' must be 64 hexadecimal digits, got {sha256!r}")
    sources = (entry.get("Source", str, required=True), *entry.strings("Mirrors"))
    for url in sources:
        cache_path(url)  # raises for URLs that are not valid, and for paths that would leave the cache
    texts = {
        key.lower(): entry.get(key, str, required=True) for key in ("Name", "Title", "Homepage", "License", "Terms", "Recipe")
    }
    return KnownDataset(
        **texts,
        sources=sources,
        classes=entry.strings("Classes"),
        revision=entry.get("Revision", str),
        size=metadata.get("Size", int),
        sha256=sha256,
        note=metadata.get("Note", str),
    )


def find_known(name: str) -> KnownDataset:
    """Return a data set of the package's index.

    Raises:
        UserError: if there is none of that name; the message suggests similar names.
    """
    known = read_known()
    if name not in known:
        close = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(known)}"
        if Path(name).is_dir():
            hint = f"to check a folder of your own, give --check {name}"
        raise UserError(f"no data set is known as '{name}': {hint}")
    return known[name]
