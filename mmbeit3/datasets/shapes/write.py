"""Writing the dataset: scenes as COCO (instances and panoptic) and as ADE20K lays out its labels, and what goes with them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from mmbeit3.datasets.shapes.captions import describe, imagine
from mmbeit3.datasets.shapes.classes import CATEGORY_IDS, STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.files import link, write_image, write_json, write_lines
from mmbeit3.datasets.shapes.render import STYLES, Scene, SceneObject, render_scene
from mmbeit3.datasets.shapes.tasks import TaskFiles
from mmbeit3.errors import UserError
from mmbeit3.files import naming_target

__all__ = ["make_shapes_dataset"]

_META = "shapes.json"
_TEXTS = 5
"""Sentences without an image to every one with."""
_FINER = 8
"""How much finer than pixels the raster is on which outlines are traced."""
_VERSION = 6
"""Raised whenever the same arguments would give other files."""


def make_shapes_dataset(
    out: str | Path,
    train: int = 900,
    val: int = 100,
    size: int = 128,
    seed: int = 0,
    style: str = "busy",
    force: bool = False,
) -> Path:
    """Render the dataset, unless the folder holds it already.

    The folder has ``annotations/{instances,panoptic}_{train,val}2017.json``, ``{train,val}2017/*.jpg`` and
    ``annotations/panoptic_{train,val}2017/*.png`` as COCO, and ``ade/images/{training,validation}`` with
    ``ade/annotations/{training,validation}/*.png`` as ADE20K: label 0 is unlabelled, then stuff and things from 1. For
    pretraining there are ``pairs_{train,val}.jsonl``, an image and a sentence about it a line, and ``texts_{train,val}.txt``,
    five times as many sentences about scenes that were not drawn, and what is asked and stated for the tasks; for these what
    :class:`~mmbeit3.datasets.shapes.tasks.TaskFiles` names. The same arguments give the same bytes. Written beside and renamed
    when complete.

    Args:
        out: folder to make.
        train: number of training images.
        val: number of validation images.
        size: side of the images in pixels, at least 64.
        seed: of all randomness, 0 or more.
        style: ``'busy'`` or ``'plain'``: grey behind, clear colours, for networks without convolutions and short training.
        force: replace a shapes dataset that was made with other arguments.

    Returns:
        The folder.

    Raises:
        UserError: if the folder exists and is something else, or the numbers make no sense.
    """
    out = Path(out)
    if min(train, val) < 1 or size < 64 or seed < 0:
        raise UserError(
            "shapes: needs at least one image a split, a size of at least 64 and a seed of at least 0, "
            f"got train {train}, val {val}, size {size}, seed {seed}"
        )
    if style not in STYLES:
        raise UserError(f"shapes: unknown style '{style}': give one of {', '.join(STYLES)}")
    arguments = {"version": _VERSION, "train": train, "val": val, "size": size, "seed": seed, "style": style}
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        meta = out / _META
        if not meta.is_file():
            raise UserError(f"'{out}' exists and is no shapes dataset: give another folder")
        found = _read_meta(meta)
        if found == arguments:
            return out
        # An older version's of the same arguments is brought up to date; the first ones had one style only.
        if not force and not (isinstance(found, dict) and {"style": "busy", **found, "version": _VERSION} == arguments):
            raise UserError(f"'{out}' is a shapes dataset made with other arguments: add --force to replace it")
    # Files lie in a temporary folder beside it at first; whatever cannot be written there is the folder's.
    with naming_target(out, whole_folder=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
            folder = Path(temporary) / "shapes"
            for split_index, (split, count) in enumerate((("train", train), ("val", val))):
                scenes = (
                    render_scene(np.random.default_rng([seed, split_index, index]), size, style)
                    for index in track(range(count), description=f"rendering {split}", transient=True)
                )
                seeds = np.random.SeedSequence([seed, split_index])
                _write_split(folder, split, scenes, np.random.default_rng(seeds), np.random.default_rng(seeds.spawn(1)[0]))
            (folder / _META).write_text(json.dumps(arguments))
            if out.exists():
                # Moved away first, so that a kill here leaves a whole dataset under one name or the other.
                out.replace(Path(temporary) / "old")
            folder.replace(out)
    return out


def _read_meta(path: Path) -> Any:
    """The arguments that a dataset was made with; None if they cannot be read, which is as other arguments."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def _write_split(
    folder: Path, split: str, scenes: Iterable[Scene], rng: np.random.Generator, tasks_rng: np.random.Generator
) -> None:
    """Write images, annotations and sentences; ``rng`` chooses how the latter say it, ``tasks_rng`` what the tasks ask."""
    long = {"train": "training", "val": "validation"}[split]
    images, pngs = folder / f"{split}2017", folder / "annotations" / f"panoptic_{split}2017"
    ade_images, ade_labels = folder / "ade" / "images" / long, folder / "ade" / "annotations" / long
    for path in (images, pngs, ade_images, ade_labels):
        path.mkdir(parents=True)
    instances: dict[str, Any] = _header(THING_CLASSES)
    panoptic: dict[str, Any] = _header((*THING_CLASSES, *STUFF_CLASSES))
    pairs: list[str] = []
    tasks = TaskFiles(folder, split, tasks_rng)
    for image_id, scene in enumerate(scenes, start=1):
        name = f"{image_id:012d}"
        height, width = scene.stuff.shape
        entry = {"id": image_id, "file_name": f"{name}.jpg", "height": height, "width": width}
        instances["images"].append(entry)
        panoptic["images"].append(entry)
        write_image(images / f"{name}.jpg", scene.image[..., ::-1])
        link(images / f"{name}.jpg", ade_images / f"{name}.jpg")
        write_image(ade_labels / f"{name}.png", _semantic(scene))
        for item in scene.objects:
            number = len(instances["annotations"]) + 1
            instances["annotations"].append({"id": number, "image_id": image_id, **_instance(item)})
        segments, ids = _panoptic(scene)
        write_image(pngs / f"{name}.png", ids[..., ::-1])
        panoptic["annotations"].append({"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments})
        pairs.append(json.dumps({"image": f"{split}2017/{name}.jpg", "text": describe(scene, rng)}))
        tasks.add(image_id, scene)
    for kind, content in (("instances", instances), ("panoptic", panoptic)):
        write_json(folder / "annotations" / f"{kind}_{split}2017.json", content)
    tasks.close()
    texts = [imagine(rng) for _ in range(_TEXTS * len(pairs))] + tasks.sentences
    for file, lines in ((f"pairs_{split}.jsonl", pairs), (f"texts_{split}.txt", texts)):
        write_lines(folder / file, lines)


def _header(classes: tuple[str, ...]) -> dict[str, Any]:
    categories = [{"id": CATEGORY_IDS[name], "name": name, "isthing": int(name in THING_CLASSES)} for name in classes]
    return {"info": {"description": "shapes"}, "images": [], "annotations": [], "categories": categories}


def _instance(item: SceneObject) -> dict[str, Any]:
    return {
        "category_id": CATEGORY_IDS[item.name],
        "bbox": _box(item.mask),
        "area": int(item.mask.sum()),
        "iscrowd": int(item.crowd),
        "segmentation": _segmentation(item.mask, item.crowd),
    }


def _box(mask: np.ndarray) -> list[int]:
    """COCO's x, y, width, height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def _segmentation(mask: np.ndarray, crowd: bool) -> list[list[float]] | dict[str, Any]:
    """Polygons where they can say it; run lengths for crowds and for masks with holes, which polygons cannot have."""
    # Contours run through pixel centres; on a finer raster they come close to the pixels' outlines, which COCO wants.
    x, y, width, height = _box(mask)
    fine = mask[y : y + height, x : x + width].astype(np.uint8).repeat(_FINER, axis=0).repeat(_FINER, axis=1)
    contours, hierarchy = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(_FINER * x, _FINER * y))
    has_hole = hierarchy is not None and (hierarchy[0, :, 3] >= 0).any()
    if crowd or has_hole:
        return {"counts": _run_lengths(mask), "size": list(mask.shape)}
    return [((contour[:, 0] + 0.5) / _FINER).ravel().tolist() for contour in contours]


def _run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: column-major, starting with the zeros."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(np.int8), [-1]])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes])).tolist()


def _semantic(scene: Scene) -> np.ndarray:
    """Labels as ADE20K's: 0 unlabelled, then stuff, then things."""
    labels = scene.stuff + 1
    for item in scene.objects:
        labels[item.mask] = 1 + len(STUFF_CLASSES) + THING_CLASSES.index(item.name)
    return labels.astype(np.uint8)


def _panoptic(scene: Scene) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Segments and the PNG (H, W, 3) whose colours hold their ids."""
    ids = np.zeros(scene.stuff.shape, np.int64)
    segments: list[dict[str, Any]] = []
    covered = np.zeros(scene.stuff.shape, bool)
    regions = []
    for item in scene.objects:
        covered |= item.mask
        regions.append((item.name, item.mask, item.crowd))
    for index, name in enumerate(STUFF_CLASSES):
        regions.append((name, (scene.stuff == index) & ~covered, False))
    for name, mask, crowd in regions:
        if not mask.any():
            continue
        # Large, spread ids, so that all three colour bytes are used.
        number = 1000 * (len(segments) + 1) + 70000
        ids[mask] = number
        segments.append(
            {
                "id": number,
                "category_id": CATEGORY_IDS[name],
                "bbox": _box(mask),
                "area": int(mask.sum()),
                "iscrowd": int(crowd),
            }
        )
    return segments, np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
