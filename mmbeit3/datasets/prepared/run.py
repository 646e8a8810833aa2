"""Download or take a copy, convert it, check the result, and record where it came from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from mmbeit3.datasets.inspection import FolderReport, inspect_folder
from mmbeit3.datasets.prepared import bccd, camvid, nuclei, ready
from mmbeit3.datasets.prepared.index import KnownDataset, find_known
from mmbeit3.datasets.prepared.sources import Source, open_source
from mmbeit3.datasets.prepared.target import Target
from mmbeit3.downloads import download
from mmbeit3.errors import UserError, list_first
from mmbeit3.files import hash_file, write_atomically
from mmbeit3.terminal import quiet_terminal
from mmbeit3.zoo.schema import CheckedMapping

__all__ = ["RECORD", "Prepared", "next_step", "prepare_dataset"]

RECORD = "source.yml"
"""File of a complete folder: source, licence, counts and files. It is written last. Not JSON, which would be taken for COCO."""

_UNFINISHED = ".preparing.json"
"""File of a folder that was never complete: the copy that it is made from."""

_VERSION = 1
"""Version of the conversions. Raise it if the same copy gives other files."""

Convert = Callable[[Source, str, Target, Sequence[str]], list[str]]


class _Conversion(NamedTuple):
    """A layout of copies: its finder, its conversion, and its files for error messages."""

    find_root: Callable[[Sequence[str]], str | None]
    convert: Convert
    layout: str


_READY_COCO = _Conversion(ready.find_coco, ready.convert_coco, ready.COCO_LAYOUT)
_READY_LABELS = _Conversion(ready.find_labels, ready.convert_labels, ready.LABELS_LAYOUT)
_CONVERSIONS = {
    "bccd": (bccd.WANTED, (_Conversion(bccd.find_root, bccd.convert, bccd.LAYOUT), _READY_COCO)),
    "nuclei": (nuclei.WANTED, (_Conversion(nuclei.find_root, nuclei.convert, nuclei.LAYOUT), _READY_COCO)),
    "camvid": (camvid.WANTED, (_Conversion(camvid.find_root, camvid.convert, camvid.LAYOUT), _READY_LABELS)),
}


@dataclass(frozen=True)
class Prepared:
    """A prepared folder.

    Attributes:
        known: the data set.
        folder: the folder.
        source: URL or path of the copy.
        splits: split to its number of images.
        notes: one line for each kind of correction.
        report: the inspection; None if the folder was complete already.
    """

    known: KnownDataset
    folder: Path
    source: str
    splits: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())
    report: FolderReport | None = None


def next_step(known: KnownDataset, folder: Path) -> str:
    """Return the command that trains on a prepared folder."""
    return f"python tools/train.py {known.recipe} --cfg-options recipe.data={shlex.quote(str(folder))}"


def prepare_dataset(
    name: str, folder: str | Path | None = None, source: str | Path | None = None, tell: Callable[[str], None] | None = None
) -> Prepared:
    """Prepare a public data set, unless the folder already contains it.

    A call that was interrupted is continued by the same call: files are written atomically, and the record of the folder last.
    Missing files of a complete folder are written again. Existing files are never replaced or deleted.

    Args:
        name: name in ``dataset-index.yml``.
        folder: folder to write; default ``data/NAME``.
        source: a copy to take instead of the download: a folder or an archive, in the publisher's layout or in the one that is
            written.
        tell: called with one line before each long step.

    Raises:
        UserError: if there is no such data set, it cannot be downloaded, the copy is damaged or another data set, the folder
            contains something else or files that were changed, or the result has faults.
    """
    known = find_known(name)
    root = Path(folder) if folder is not None else Path("data") / name
    wanted_source = str(Path(source).resolve()) if source is not None else None
    tell = tell or (lambda line: None)
    if (done := _read_complete(known, root, wanted_source, tell)) is not None:
        return done
    try:
        return _prepare(known, root, source, tell)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"interrupted: the same command continues '{root}'") from error


def _prepare(known: KnownDataset, root: Path, source: str | Path | None, tell: Callable[[str], None]) -> Prepared:
    _check_free(root)

    def check(path: Path) -> None:
        with open_source(path, _wanted(known)) as opened:
            _choose(opened, known)

    if source is None:
        tell(f"downloading {known.sources[0]}")
        path, origin = download(known.sources, size=known.size, sha256=known.sha256, check=check), known.sources[0]
    else:
        path, origin = Path(source), str(Path(source).resolve())
        if path.is_dir() and _contains(path, root):
            raise UserError(f"'{root}' is in the copy '{path}': give another folder by --out")
    digest = hash_file(path) if path.is_file() else None
    target = Target(root)
    with open_source(path, _wanted(known)) as opened:
        conversion, top = _choose(opened, known)
        _begin(root, {"name": known.name, "source": origin, "sha256": digest, "version": _VERSION})
        tell(f"converting '{path}' to '{root}'")
        try:
            notes = conversion.convert(opened, top, target, known.classes)
        except UserError:
            _forget_if_empty(root)
            raise
    tell(f"checking '{root}'")
    with quiet_terminal():
        report = inspect_folder(root, 2)
    if report.faults:
        for fault in report.faults[:20]:
            tell(f"fault: {fault}")
        count = f"{len(report.faults)} {'fault' if len(report.faults) == 1 else 'faults'}"
        raise UserError(f"'{root}' has {count}: delete it, and give another copy by --from if this one is at fault")
    splits = {split.name: split.images for split in report.splits}
    _finish(known, target, {"source": origin, "sha256": digest}, splits, notes)
    return Prepared(known, root, origin, splits, tuple(notes), report)


def _wanted(known: KnownDataset) -> Callable[[str], object]:
    own, _ = _CONVERSIONS[known.name]
    return lambda name: own.search(name) or ready.WANTED.search(name)


def _choose(opened: Source, known: KnownDataset) -> tuple[_Conversion, str]:
    """Return the conversion for a copy, and the folder in it. The publisher's layout comes before the one that is written."""
    _, conversions = _CONVERSIONS[known.name]
    for conversion in conversions:
        if (top := conversion.find_root(opened.names)) is not None:
            return conversion, top
    layouts = " or ".join(conversion.layout for conversion in conversions)
    raise UserError(f"'{opened.label}' is not a copy of {known.name}: expected {layouts}")


def _contains(folder: Path, other: Path) -> bool:
    return folder.resolve() in (other.resolve(), *other.resolve().parents)


def _check_free(root: Path) -> None:
    """Refuse to write into a folder with other content."""
    if root.is_dir() and not any((root / name).is_file() for name in (RECORD, _UNFINISHED)) and any(root.iterdir()):
        raise UserError(
            f"'{root}' contains files that this command did not write: give another folder by --out, or "
            "check it as it is by --check"
        )
    if root.exists() and not root.is_dir():
        raise UserError(f"'{root}' is a file: give a folder by --out")


def _begin(root: Path, copy: Mapping[str, Any]) -> None:
    """Record the copy that a folder is made from; refuse to continue with another one."""
    path = root / _UNFINISHED
    before: Any = None
    if (root / RECORD).is_file():
        record = CheckedMapping.of_file(root / RECORD)
        before = {key: record.get(key, int if key == "version" else str) for key in copy}
    elif path.is_file():
        with suppress(ValueError):
            before = json.loads(path.read_bytes())
    else:
        write_atomically(path, json.dumps(copy).encode())
        return
    if before != copy:
        was = f"was begun from '{before['source']}'" if isinstance(before, dict) and "source" in before else "is unfinished"
        raise UserError(f"'{root}' {was}, and '{copy['source']}' is another copy: delete the folder to start over")


def _forget_if_empty(root: Path) -> None:
    """Delete a folder in which nothing was written, so that another copy can be given."""
    if [path.name for path in root.iterdir()] == [_UNFINISHED]:
        (root / _UNFINISHED).unlink()
        root.rmdir()


def _finish(
    known: KnownDataset, target: Target, copy: Mapping[str, Any], splits: Mapping[str, int], notes: Sequence[str]
) -> None:
    record = {
        "name": known.name,
        "title": known.title,
        "homepage": known.homepage,
        "license": known.license,
        "terms": known.terms,
        **copy,
        "version": _VERSION,
        "images": dict(splits),
        "corrections": list(notes),
        "files": dict(sorted(target.files.items())),
    }
    target.drop_parts()
    write_atomically(target.root / RECORD, yaml.safe_dump(record, sort_keys=False, width=120).encode())
    (target.root / _UNFINISHED).unlink(missing_ok=True)


def _read_complete(known: KnownDataset, root: Path, source: str | None, tell: Callable[[str], None]) -> Prepared | None:
    """Return a complete folder; None if files are missing, so that they are written again.

    Raises:
        UserError: if it is another data set, made from another copy than the given one or by another version of the
            conversions, or if files were changed.
    """
    path = root / RECORD
    if not path.is_file():
        return None
    record = CheckedMapping.of_file(path)
    name, origin = record.get("name", str, required=True), record.get("source", str, required=True)
    if name != known.name:
        raise UserError(f"'{root}' contains '{name}': give another folder by --out")
    if source not in (None, origin):
        raise UserError(f"'{root}' is complete, made from {origin}: delete it to take '{source}'")
    if record.get("version", int) != _VERSION:
        raise UserError(f"'{root}' was prepared by another version of this command: delete or rename it to prepare it again")
    files = record.section("files").numbers()
    sizes = {file: (root / file).stat().st_size for file in files if (root / file).is_file()}
    if changed := [file for file, size in sizes.items() if size != files[file]]:
        raise UserError(
            f"'{root}' has files that were changed, and this command does not replace them ({list_first(changed)}): train on "
            "them as they are, or delete or rename them and run it again"
        )
    missing = [file for file in files if file not in sizes]
    if not missing:
        splits = {split: int(count) for split, count in record.section("images").numbers().items()}
        return Prepared(known, root, origin, splits)
    if urlsplit(origin).scheme not in ("http", "https") and source is None:
        raise UserError(
            f"'{root}' has {len(missing)} missing files: give --from {shlex.quote(origin)} again, or delete the folder"
        )
    tell(f"'{root}' has {len(missing)} missing files, such as '{missing[0]}'")
    return None
