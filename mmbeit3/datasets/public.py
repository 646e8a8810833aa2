"""Public data sets that users download themselves: the files that the configs read, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmbeit3.errors import UserError

__all__ = ["PUBLIC", "Extra", "Part", "PublicData", "find_public", "missing_parts"]


@dataclass(frozen=True)
class Part:
    """A file or folder of a data set.

    Attributes:
        path: path relative to the data set's folder.
        source: what to do if it is missing.
        suffix: end of the names of files that the folder must contain; empty for a file.
    """

    path: str
    source: str
    suffix: str = ""

    def exists(self, root: Path) -> bool:
        """Return True if the file exists, or the folder or a folder below it has a file with this suffix."""
        path = root / self.path
        return next(path.rglob(f"*{self.suffix}"), None) is not None if self.suffix else path.is_file()


@dataclass(frozen=True)
class Extra:
    """Parts that only some configs read.

    Attributes:
        config: path of such a config.
        parts: its parts. If some exist and others do not, the missing ones are faults.
    """

    config: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class PublicData:
    """A public data set as the configs read it.

    Attributes:
        title: name of the data set.
        folder: ``data_root`` of the configs.
        config: path of a config that reads it.
        parts: files and folders of the training and validation splits.
        splits: split to its annotation file and folder of images, or to its folders of images and label images.
        images: split to the number of images of the whole data set.
        classes: number of classes.
        labels: mmseg's dataset class that has the names of the classes of label images; empty for COCO files.
        label_suffix: end of the names of label images that follows the image's name.
        reduce_zero_label: True if the classes of label images count from 1.
        levels: number of parts at the end of an image's path in the JSON file that name it; 0 takes the whole path.
        absent: images of the JSON file that do not exist, which mmdet leaves out.
        extras: parts of other tasks.
    """

    title: str
    folder: str
    config: str
    parts: tuple[Part, ...]
    splits: dict[str, tuple[str, str]]
    images: dict[str, int]
    classes: int
    labels: str = ""
    label_suffix: str = ""
    reduce_zero_label: bool = False
    levels: int = 0
    absent: frozenset[str] = frozenset()
    extras: tuple[Extra, ...] = field(default=())

    def image_name(self, name: str) -> str:
        """Return the path of an image below its folder, from its ``file_name`` in the JSON file."""
        return "/".join(name.split("/")[-self.levels :])


_COCO_PAGE = "https://cocodataset.org/#download"


def _unpack(archive: str, page: str, where: str) -> str:
    return f"download {archive} from {page} and unpack {where}"


def _coco_images(split: str, root: str, folder: str = "") -> Part:
    return Part(f"{folder}{split}2017", _unpack(f"{split}2017.zip", _COCO_PAGE, f"it into {root}/{folder}".rstrip("/")), ".jpg")


_BOXES = _unpack("annotations_trainval2017.zip", _COCO_PAGE, "it into data/coco")
_PANOPTIC = _unpack("panoptic_annotations_trainval2017.zip", _COCO_PAGE, "it into data/coco, and the two archives inside it")
_ADE = _unpack("ADEChallengeData2016.zip", "http://sceneparsing.csail.mit.edu", "it into data/ade")
_O365 = "https://www.objects365.org"
_STUFF = (
    _unpack(
        "stuffthingmaps_trainval2017.zip", "https://github.com/nightrome/cocostuff", "it into data/coco_stuff164k/annotations"
    )
    + ", then convert it with mmseg's tools/dataset_converters/coco_stuff164k.py"
)

PUBLIC: dict[str, PublicData] = {
    "coco": PublicData(
        title="COCO 2017",
        folder="data/coco",
        config="configs/coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py",
        parts=(
            *(Part(f"annotations/instances_{split}2017.json", _BOXES) for split in ("train", "val")),
            *(_coco_images(split, "data/coco") for split in ("train", "val")),
        ),
        splits={split: (f"annotations/instances_{split}2017.json", f"{split}2017") for split in ("train", "val")},
        images={"train": 118_287, "val": 5_000},
        classes=80,
        extras=(
            Extra(
                "configs/coco/mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py",
                (
                    *(Part(f"annotations/panoptic_{split}2017.json", _PANOPTIC) for split in ("train", "val")),
                    *(Part(f"annotations/panoptic_{split}2017", _PANOPTIC, ".png") for split in ("train", "val")),
                ),
            ),
        ),
    ),
    "ade20k": PublicData(
        title="ADE20K",
        folder="data/ade/ADEChallengeData2016",
        config="configs/ade20k/beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py",
        parts=tuple(
            Part(f"{kind}/{split}", _ADE, suffix)
            for kind, suffix in (("images", ".jpg"), ("annotations", ".png"))
            for split in ("training", "validation")
        ),
        splits={
            name: (f"images/{split}", f"annotations/{split}") for name, split in (("train", "training"), ("val", "validation"))
        },
        images={"train": 20_210, "val": 2_000},
        classes=150,
        labels="ADE20KDataset",
        label_suffix=".png",
        reduce_zero_label=True,
    ),
    "objects365": PublicData(
        title="Objects365 v2",
        folder="data/Objects365/Obj365_v2",
        config="configs/objects365/cascade-rcnn_beit3-b_vitdet_1024_objects365.py",
        parts=tuple(
            part
            for split in ("train", "val")
            for part in (
                Part(
                    f"annotations/zhiyuan_objv2_{split}.json",
                    _unpack(f"zhiyuan_objv2_{split}.json", _O365, "it if it is packed"),
                ),
                Part(split, _unpack(f"the {split} patches", _O365, f"each to {split}/patchN"), ".jpg"),
            )
        ),
        splits={split: (f"annotations/zhiyuan_objv2_{split}.json", split) for split in ("train", "val")},
        images={"train": 1_742_289, "val": 80_000},
        classes=365,
        # mmdet's Objects365V2Dataset takes the last folder and the name, and skips these images.
        levels=2,
        absent=frozenset(
            {
                "patch16/objects365_v2_00908726.jpg",
                "patch6/objects365_v1_00320532.jpg",
                "patch6/objects365_v1_00320534.jpg",
            }
        ),
    ),
    "coco_stuff164k": PublicData(
        title="COCO-Stuff 164k",
        folder="data/coco_stuff164k",
        config="configs/coco_stuff164k/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py",
        parts=(
            *(_coco_images(split, "data/coco_stuff164k", "images/") for split in ("train", "val")),
            *(Part(f"annotations/{split}2017", _STUFF, "_labelTrainIds.png") for split in ("train", "val")),
        ),
        splits={split: (f"images/{split}2017", f"annotations/{split}2017") for split in ("train", "val")},
        images={"train": 118_287, "val": 5_000},
        classes=171,
        labels="COCOStuffDataset",
        label_suffix="_labelTrainIds.png",
    ),
}
"""Data sets by the name that ``tools/prepare_data.py --as`` takes. Image counts are those of the data sets' pages."""


def find_public(folder: str | Path, name: str | None = None) -> tuple[Path, PublicData] | None:
    """Find out if a folder is a copy of a public data set.

    Without a name, a folder is one if it has the name of the data set's folder in the configs, and at least one of its files or
    folders that hold annotations.

    Args:
        folder: the folder, or the one above it, such as ``data/ade`` for ``data/ade/ADEChallengeData2016``.
        name: name of the data set in :data:`PUBLIC`; None to find it out.

    Returns:
        The data set's folder and the data set; None if it is none of them.

    Raises:
        UserError: for an unknown name, or if the folder does not exist.
    """
    root = Path(folder)
    if name is not None and name not in PUBLIC:
        raise UserError(f"data set '{name}' is unknown: choose one of {', '.join(PUBLIC)}")
    if not root.is_dir():
        raise UserError(f"data folder '{root}' does not exist: give the folder that contains your images and annotations")
    for data in [PUBLIC[name]] if name is not None else PUBLIC.values():
        *_, above, own = Path(data.folder).parts
        # data/coco does not make data a copy of COCO, but data/ade has nothing else.
        if (name is not None or root.resolve().name == above != "data") and _has_annotations(root / own, data):
            return root / own, data
        if name is not None or (root.resolve().name == own and _has_annotations(root, data)):
            return root, data
    return None


def _has_annotations(root: Path, data: PublicData) -> bool:
    return any(part.exists(root) for part in data.parts if "annotations" in part.path)


def missing_parts(root: Path, data: PublicData) -> tuple[list[str], list[str]]:
    """Return the faults and notes of a copy's missing files and folders, one line each.

    Args:
        root: the data set's folder.
        data: the data set.

    Returns:
        Faults for parts that its config needs, and notes for parts of which other configs need all.
    """
    faults = [_describe(root, part, data.config) for part in data.parts if not part.exists(root)]
    notes = []
    for extra in data.extras:
        missing = [part for part in extra.parts if not part.exists(root)]
        if len(missing) == len(extra.parts):
            notes.append(_describe(root, missing[0], extra.config))
        else:
            faults += [_describe(root, part, extra.config) for part in missing]
    return faults, notes


def _describe(root: Path, part: Part, config: str) -> str:
    path = root / part.path
    lacks = f"has no *{part.suffix}" if path.is_dir() else "does not exist"
    return f"'{path}' {lacks}, which {config} reads: {part.source}"
