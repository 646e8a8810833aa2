"""Checks of classification data with one folder per class: labels count the folders in alphabetical order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmbeit3.datasets.annotations import read_text
from mmbeit3.datasets.checks.allowed import allow_hint
from mmbeit3.datasets.messages import first_difference
from mmbeit3.errors import UserError, list_first
from mmbeit3.text.names import read_folders, read_names

__all__ = ["check_class_names", "check_folder_names", "check_label_list", "check_same_folders", "label_folders", "label_list"]


def label_folders(cfg: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    """Return the class folders in the order in which mmpretrain's datasets number labels.

    Args:
        cfg: config of a ``CustomDataset``, or of a subclass such as ``ImageNet``.
        where: name of the dataset, for error messages.

    Returns:
        Names of the folders. None if labels come from a list of files, or the dataset has no labels.

    Raises:
        UserError: if the parent folder does not exist, or has no folders.
    """
    if not cfg.get("with_label", True) or cfg.get("split") == "test" or label_list(cfg) is not None:
        return None
    root = _image_root(cfg)
    if not root.is_dir():
        raise UserError(f"{where}: folder '{root}', which should have one folder per class, does not exist: set data_root")
    found = tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    if hidden := [name for name in found if name.startswith(".")]:
        # mmpretrain skips hidden files but not hidden folders, so all labels after it would shift by one.
        raise UserError(f"{where}: '{root}' has the hidden folder '{hidden[0]}', which would count as a class: remove it")
    if not found:
        raise UserError(f"{where}: '{root}' has no folders, but should have one per class: set data_root")
    return found


def label_list(cfg: Mapping[str, Any]) -> Path | None:
    """Return the file that lists images with their labels, if mmpretrain would read one."""
    root = Path(cfg.get("data_root") or "")
    if cfg.get("ann_file"):
        return root / cfg["ann_file"]
    listed = root / "meta" / f"{cfg.get('split')}.txt"
    return listed if cfg.get("split") and listed.is_file() else None


def check_folder_names(
    folders: Sequence[str], classes: Sequence[str], cfg: Mapping[str, Any], where: str, allow: set[str]
) -> None:
    """Check that each class name fits its folder.

    A class may have the name of its folder, where ``_`` and ``-`` count as blanks. If folders are ImageNet synsets, a class may
    have mmpretrain's name of the synset, or one of its synonyms.

    Raises:
        UserError: naming the first class that does not fit.
    """
    root = _image_root(cfg)
    if len(folders) == len(classes) and (
        "folder_names" in allow or all(_names_folder(name, folder) for name, folder in zip(classes, folders, strict=True))
    ):
        return
    if len(folders) != len(classes):
        unnamed = [folder for folder in folders if not any(_names_folder(name, folder) for name in classes)]
        without = [name for name in classes if not any(_names_folder(name, folder) for folder in folders)]
        parts = [f"no class for {_quoted(unnamed)}"] * bool(unnamed) + [f"no folder for {_quoted(without)}"] * bool(without)
        raise UserError(
            f"{where}: '{root}' has {len(folders)} folders, but there are {len(classes)} classes"
            f"{': ' if parts else ''}{', '.join(parts)}; give one folder per class, or set metainfo=dict(classes=...)"
        )
    index = next(i for i, (name, folder) in enumerate(zip(classes, folders, strict=True)) if not _names_folder(name, folder))
    raise UserError(
        f"{where}: class {index} is '{classes[index]}', but labels count the folders of '{root}' in alphabetical order, and "
        f"folder {index} is '{folders[index]}': write the folders' names in this order in metainfo.classes; "
        + allow_hint("folder_names")
    )


def check_same_folders(folders: Sequence[str], where: str, other_folders: Sequence[str], other: str) -> None:
    """Check that two splits have the same class folders.

    Raises:
        UserError: if they differ.
    """
    if tuple(folders) == tuple(other_folders):
        return
    parts = [
        f"only {name} has '{min(only)}'"
        for name, only in ((where, set(folders) - set(other_folders)), (other, set(other_folders) - set(folders)))
        if only
    ]
    raise UserError(
        f"{where} and {other} have different folders, so a label would mean different classes: {', '.join(parts)}; "
        "give both the same folders, empty ones for classes without images"
    )


def check_label_list(path: Path, classes: Sequence[str], where: str, allow: set[str]) -> None:
    """Check a list of images with their labels: each label is a class, and a folder with the name of a class has its label.

    Raises:
        UserError: naming the first line that does not fit.
    """
    label_of = {_plain(name): label for label, name in enumerate(classes)}
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(read_text(path, f"{where}: list of images").splitlines(), start=1):
        line = line.strip()
        image, _, digits = line.rpartition(" ")
        if not image or not digits.isdecimal():
            raise UserError(f"{where}: '{path}', line {number} is {line[:60]!r}: write 'folder/image.jpg 3'")
        label, folder = int(digits), image.split("/")[-2] if "/" in image else ""
        if label >= len(classes):
            raise UserError(
                f"{where}: '{path}', line {number}: label {label} is too large for {len(classes)} classes, which count from 0"
            )
        if (folder, label) in seen:
            continue
        seen.add((folder, label))
        misnamed = folder in _synsets() and not _names_folder(classes[label], folder)
        if (misnamed or label_of.get(_plain(folder), label) != label) and "folder_names" not in allow:
            raise UserError(
                f"{where}: '{path}', line {number}: '{image}' has the label {label}, which is '{classes[label]}': write "
                "metainfo.classes in the order of the labels; " + allow_hint("folder_names")
            )


def check_class_names(
    source: Any, folders: Sequence[str] | None, classes: Sequence[str] | None, where: str, allow: set[str]
) -> None:
    """Check that a model's class names are those of a dataset's labels, in the same order.

    Args:
        source: ``class_names`` of the model.
        folders: class folders of the dataset, if it has any.
        classes: class names of the dataset, if it has any.
        where: name of the dataset, for error messages.
        allow: exceptions that the config allows.

    Raises:
        UserError: if they differ.
    """
    names, stated = read_names(source, "class_names"), read_folders(source)
    wanted = folders if folders is not None else classes
    if wanted is None:
        return
    file = f" '{source}'" if isinstance(source, str | Path) else ""
    if stated is not None and folders is not None:
        if difference := first_difference(stated, folders):
            index, in_model, in_data = difference
            raise UserError(
                f"model.class_names{file} and {where} have different folders: folder {index} is {in_model} in class_names and "
                f"{in_data} in the data: write one line per folder, in alphabetical order"
            )
        return
    if len(names) != len(wanted):
        raise UserError(
            f"model.class_names{file} has {len(names)} names, but {where} has {len(wanted)} classes: give one name per class"
        )
    if "folder_names" in allow:
        return
    for index, name in enumerate(names):
        of_folder = folders is not None and _names_folder(name, folders[index])
        of_class = classes is not None and (_plain(name) == _plain(classes[index]) or name in _synonyms(classes[index]))
        if not of_folder and not of_class:
            label = classes[index] if classes is not None else wanted[index]
            raise UserError(
                f"model.class_names{file}: name {index} is '{name}', but class {index} of {where} is '{label}': write the "
                "names in the order of the labels, or, if they differ from the folders' names, lines 'FOLDER<tab>NAME'; "
                + allow_hint("folder_names")
            )


def _image_root(cfg: Mapping[str, Any]) -> Path:
    prefix = cfg.get("data_prefix")
    if isinstance(prefix, Mapping):
        prefix = prefix.get("img_path")
    return Path(cfg.get("data_root") or "") / (prefix or cfg.get("split") or "")


def _names_folder(name: str, folder: str) -> bool:
    """Return True if a class name fits a folder, by its name or by its ImageNet synset."""
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
    """Return ImageNet-1k's folders to mmpretrain's names of their classes. Empty if mmpretrain or timm is not installed."""
    try:
        from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
        from timm.data import ImageNetInfo
    except ImportError:
        return {}
    return dict(zip(ImageNetInfo().label_names(), IMAGENET_CATEGORIES, strict=True))


def _quoted(names: Sequence[str]) -> str:
    return list_first([f"'{name}'" for name in names], 3)
