"""Whether folders of images, one for each class, are those that the classes' names say: labels count by folders in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmbeit3.datasets.checks.allowed import switch
from mmbeit3.errors import UserError
from mmbeit3.text.names import read_folders, read_names

__all__ = ["check_class_names", "check_folder_names", "check_listed", "compare_folders", "label_folders", "label_list"]


def label_folders(cfg: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    """The folders by which mmpretrain's datasets of one folder for each class count labels, in their order.

    Args:
        cfg: config of its ``CustomDataset``, or of one derived from it, such as ``ImageNet``.
        where: what to call it.

    Returns:
        Names of folders; None where labels come from a list of files, or there are none.

    Raises:
        UserError: if the folder above them does not exist, or has none.
    """
    if not cfg.get("with_label", True) or cfg.get("split") == "test" or label_list(cfg) is not None:
        return None
    root = _image_root(cfg)
    if not root.is_dir():
        raise UserError(f"{where}: folder '{root}', of a folder of images for each class, does not exist: set data_root")
    found = tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    if hidden := [name for name in found if name.startswith(".")]:
        # mmpretrain leaves out hidden files, but not hidden folders, and the labels of those behind them would shift.
        raise UserError(f"{where}: '{root}' has the hidden folder '{hidden[0]}', which would count as a class: remove it")
    if not found:
        raise UserError(f"{where}: '{root}' has no folders, and there should be one for each class: set data_root")
    return found


def label_list(cfg: Mapping[str, Any]) -> Path | None:
    """The file that lists images with their labels, where mmpretrain takes one."""
    root = Path(cfg.get("data_root") or "")
    if cfg.get("ann_file"):
        return root / cfg["ann_file"]
    listed = root / "meta" / f"{cfg.get('split')}.txt"
    return listed if cfg.get("split") and listed.is_file() else None


def check_folder_names(
    folders: Sequence[str], classes: Sequence[str], cfg: Mapping[str, Any], where: str, allow: set[str]
) -> None:
    """Check that each class is its folder's.

    A class may be called as its folder, ``_`` and ``-`` standing for blanks, or, where folders are ImageNet's synsets, by
    mmpretrain's name of the synset or one of the names in it.

    Raises:
        UserError: naming the first that is not.
    """
    root = _image_root(cfg)
    if len(folders) == len(classes) and (
        "folder_names" in allow or all(_belongs(name, folder) for name, folder in zip(classes, folders, strict=True))
    ):
        return
    if len(folders) != len(classes):
        unnamed = [folder for folder in folders if not any(_belongs(name, folder) for name in classes)]
        without = [name for name in classes if not any(_belongs(name, folder) for folder in folders)]
        parts = [f"no class for {_some(unnamed)}"] * bool(unnamed) + [f"no folder for {_some(without)}"] * bool(without)
        raise UserError(
            f"{where}: '{root}' has {len(folders)} folders, one for each class, but there are {len(classes)} classes"
            f"{': ' if parts else ''}{', '.join(parts)}; complete the data, or set metainfo=dict(classes=...)"
        )
    place = next(i for i, (name, folder) in enumerate(zip(classes, folders, strict=True)) if not _belongs(name, folder))
    raise UserError(
        f"{where}: class {place} is called '{classes[place]}', but labels count by the folders of '{root}' in alphabetical "
        f"order, and folder {place} is '{folders[place]}': give metainfo.classes in the order of the folders, by their names; "
        + switch("folder_names")
    )


def compare_folders(here: Sequence[str], where: str, there: Sequence[str], other: str) -> None:
    """Check that two splits count labels by the same folders.

    Raises:
        UserError: if they do not.
    """
    if tuple(here) == tuple(there):
        return
    parts = [
        f"{name} has '{sorted(set(ours) - set(theirs))[0]}' alone"
        for name, ours, theirs in ((where, here, there), (other, there, here))
        if set(ours) - set(theirs)
    ]
    raise UserError(
        f"{where} and {other} have different folders, so that a label means different classes: {', '.join(parts)}; "
        "give both the same folders, empty ones where there are no images"
    )


def check_listed(path: Path, classes: Sequence[str], where: str, allow: set[str]) -> None:
    """Check a list of images with their labels: labels are classes, and folders that are called as classes have their labels.

    Raises:
        UserError: naming the first line that does not fit.
    """
    names = {_plain(name): label for label, name in enumerate(classes)}
    seen: set[tuple[str, int]] = set()
    for number, line in _lines(path, where):
        image, _, digits = line.rpartition(" ")
        if not image or not digits.isdecimal():
            raise UserError(f"{where}: '{path}', line {number} is not of the form 'folder/image.jpg 3'")
        label, folder = int(digits), image.split("/")[-2] if "/" in image else ""
        if label >= len(classes):
            raise UserError(f"{where}: '{path}', line {number}: label {label} is none of {len(classes)} classes, from 0")
        if (folder, label) in seen:
            continue
        seen.add((folder, label))
        misnamed = folder in _synsets() and not _belongs(classes[label], folder)
        if (misnamed or names.get(_plain(folder), label) != label) and "folder_names" not in allow:
            raise UserError(
                f"{where}: '{path}', line {number}: '{image}' has label {label}, which is '{classes[label]}': give "
                "metainfo.classes in the order of the labels; " + switch("folder_names")
            )


def check_class_names(
    source: Any, folders: Sequence[str] | None, classes: Sequence[str] | None, where: str, allow: set[str]
) -> None:
    """Check that the names that a model reads are, in their order, those of a dataset's labels.

    Args:
        source: the model's ``class_names``.
        folders: by which the dataset counts labels, if it does.
        classes: the dataset's names, if it has any.
        where: what to call the dataset.
        allow: what the config does on purpose.

    Raises:
        UserError: if they are not.
    """
    names, stated = read_names(source, "class_names"), read_folders(source)
    wanted = folders if folders is not None else classes
    if wanted is None:
        return
    file = f" '{source}'" if isinstance(source, str | Path) else ""
    if stated is not None and folders is not None:
        if tuple(stated) != tuple(folders):
            place, (ours, theirs) = next((i, pair) for i, pair in enumerate(zip_longest(stated, folders)) if len({*pair}) > 1)
            raise UserError(
                f"model.class_names{file} and {where} have different folders: number {place} is "
                f"{ours or 'missing'} in the one and {theirs or 'missing'} in the other: give a line for each folder"
            )
        return
    if len(names) != len(wanted):
        raise UserError(f"model.class_names{file} has {len(names)} names, but {where} {len(wanted)} classes: give one for each")
    if "folder_names" in allow:
        return
    for place, name in enumerate(names):
        of_folder = folders is not None and _belongs(name, folders[place])
        of_class = classes is not None and (_plain(name) == _plain(classes[place]) or name in _synonyms(classes[place]))
        if not of_folder and not of_class:
            label = classes[place] if classes is not None else wanted[place]
            raise UserError(
                f"model.class_names{file}: name {place} is '{name}', and class {place} of {where} is '{label}': give the names "
                "in the order of the labels; where they are other than the folders', write lines 'FOLDER<tab>NAME'; "
                + switch("folder_names")
            )


def _image_root(cfg: Mapping[str, Any]) -> Path:
    prefix = cfg.get("data_prefix")
    if isinstance(prefix, Mapping):
        prefix = prefix.get("img_path")
    return Path(cfg.get("data_root") or "") / (prefix or cfg.get("split") or "")


def _lines(path: Path, where: str) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: '{path}' cannot be read ({error})") from error
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))


def _belongs(name: str, folder: str) -> bool:
    """Whether a class is a folder's by its name."""
    if _plain(name) == _plain(folder):
        return True
    known = _synsets().get(folder)
    return known is not None and (name == known or name in _synonyms(known))


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _synonyms(name: str) -> list[str]:
    return [part.strip() for part in name.split(",")]


@cache
def _synsets() -> Mapping[str, str]:
    """ImageNet-1k's folders and mmpretrain's names of them, which is how its data set counts; none where it is missing."""
    try:
        from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
        from timm.data import ImageNetInfo
    except ImportError:
        return {}
    return dict(zip(ImageNetInfo().label_names(), IMAGENET_CATEGORIES, strict=True))


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
