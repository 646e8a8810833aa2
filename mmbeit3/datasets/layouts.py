"""Layouts of a folder of data: where its images, annotation files or label images are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmbeit3.errors import UserError, list_first
from mmbeit3.images.folders import is_image_name, walk_files

__all__ = [
    "SPLITS",
    "ClassFolders",
    "CocoFiles",
    "ImagesOnly",
    "LabelImages",
    "Layout",
    "find_layout",
    "image_folder",
    "only_suffix",
]

SPLITS = ("train", "val")
_SPLIT_NAMES = {"train": ("train", "training", "train2017"), "val": ("val", "valid", "validation", "val2017")}
_COCO_NAMES = ("{0}.json", "annotations/{0}.json", "annotations/instances_{0}.json", "{0}/_annotations.coco.json")
_IMAGE_FOLDERS = ("images/{0}", "images", "{0}", "")
_LABEL_FOLDERS = ("labels", "annotations", "masks")


@dataclass(frozen=True)
class CocoFiles:
    """COCO annotation files.

    Attributes:
        root: the folder.
        files: split to its annotation file and its folder of images, both relative to ``root``.
        unsplit: annotation files that belong to no split, relative to ``root``.
    """

    root: Path
    files: dict[str, tuple[str, str]]
    unsplit: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelImages:
    """Images and label images of the same names.

    Attributes:
        root: the folder.
        folders: split to its folders of images and labels, relative to ``root``. The same for all splits if ``lists`` has them.
        lists: split to a text file with one name per line, without the suffix, relative to ``root``.
        label_suffix: end of the names of label images that follows the image's name; empty to find it out.
    """

    root: Path
    folders: dict[str, tuple[str, str]]
    lists: dict[str, str]
    label_suffix: str = ""


@dataclass(frozen=True)
class ClassFolders:
    """One folder of images per class, in ``train`` and ``val``.

    Attributes:
        root: the folder.
        folders: split to its folder, relative to ``root``.
    """

    root: Path
    folders: dict[str, str]


@dataclass(frozen=True)
class ImagesOnly:
    """Images without annotations.

    Attributes:
        root: the folder.
    """

    root: Path


Layout = CocoFiles | LabelImages | ClassFolders | ImagesOnly


def find_layout(folder: str | Path) -> Layout:
    """Find the layout of a folder by the names in it. Files are not opened.

    Raises:
        UserError: if the folder does not exist, or has no images.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"data folder '{root}' does not exist: give the folder that contains your images and annotations")
    coco = _find_coco(root)
    if coco is not None and coco.files:
        return coco
    # JSON files of other names may be anything, such as notes beside another layout.
    labels = _find_labels(root)
    if labels is not None and (coco is None or any(_has_images(root / folder) for _, folder in labels.folders.values())):
        return labels
    classes = _find_classes(root)
    if classes is not None and (coco is None or set(classes.folders) == set(SPLITS)):
        return classes
    if coco is not None:
        return coco
    if not _has_images(root):
        raise UserError(
            f"data folder '{root}' has no images and no annotations: see 'Lay out the data' in docs/own-data.md for its files"
        )
    return ImagesOnly(root)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image_name(name.rpartition("/")[2]) for name in walk_files(folder))


def _find_coco(root: Path) -> CocoFiles | None:
    files: dict[str, tuple[str, str]] = {}
    for split in SPLITS:
        for name in _SPLIT_NAMES[split]:
            found = next((form.format(name) for form in _COCO_NAMES if (root / form.format(name)).is_file()), None)
            if found is not None:
                files[split] = found, image_folder(root, name, found)
                break
    known = {file for file, _ in files.values()}
    others = sorted(
        path.relative_to(root).as_posix()
        for pattern in ("*.json", "annotations/*.json")
        for path in root.glob(pattern)
        if not path.name.startswith(".") and path.relative_to(root).as_posix() not in known
    )
    return CocoFiles(root, files, tuple(others)) if files or others else None


def image_folder(root: Path, split: str, file: str) -> str:
    """Return the folder of the images of an annotation file, relative to the root; empty for the root itself."""
    if file.endswith("_annotations.coco.json"):
        return split
    return next(form.format(split) for form in _IMAGE_FOLDERS if (root / form.format(split)).is_dir())


def _find_labels(root: Path) -> LabelImages | None:
    if not (root / "images").is_dir():
        return None
    labels = next((name for name in _LABEL_FOLDERS if (root / name).is_dir()), None)
    if labels is None:
        return None
    folders: dict[str, tuple[str, str]] = {}
    lists = {split: f"{split}.txt" for split in SPLITS if (root / f"{split}.txt").is_file()}
    for split in SPLITS:
        for name in _SPLIT_NAMES[split]:
            if (root / "images" / name).is_dir():
                folders[split] = f"images/{name}", f"{labels}/{name}"
                break
    if not folders:
        folders = dict.fromkeys(lists or ("all",), ("images", labels))
    else:
        lists = {}
    return LabelImages(root, folders, lists)


def _find_classes(root: Path) -> ClassFolders | None:
    folders = {
        split: name
        for split in SPLITS
        for name in _SPLIT_NAMES[split]
        if (root / name).is_dir() and any(path.is_dir() for path in (root / name).iterdir())
    }
    return ClassFolders(root, folders) if folders else None


def only_suffix(folder: Path) -> str:
    """Return the suffix that all images of a folder have, such as ``.jpg``.

    Raises:
        UserError: if the folder has no images, or images of several suffixes: mmseg reads one suffix.
    """
    if not folder.is_dir():
        raise UserError(f"folder '{folder}' does not exist: add it, see 'Lay out the data' in docs/own-data.md")
    found = Counter(Path(name).suffix for name in walk_files(folder) if is_image_name(name.rpartition("/")[2]))
    if not found:
        raise UserError(f"folder '{folder}' has no images: add them, see 'Lay out the data' in docs/own-data.md")
    if len(found) > 1:
        counts = list_first(f"{count} {suffix}" for suffix, count in found.most_common())
        raise UserError(
            f"folder '{folder}' has images of several suffixes ({counts}): mmseg reads one suffix per folder, so convert or "
            "rename them, such as all to .jpg"
        )
    return next(iter(found))
