"""Writer of the dataset: COCO (instances and panoptic), ADE20K's label images, pairs, texts, and the files of the tasks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from mmbeit3.datasets.shapes.captions import describe, random_caption
from mmbeit3.datasets.shapes.classes import CATEGORY_IDS, STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.files import link, write_image, write_json, write_lines
from mmbeit3.datasets.shapes.render import STYLES, Scene, SceneObject, render_scene
from mmbeit3.datasets.shapes.tasks import TaskFiles
from mmbeit3.errors import UserError
from mmbeit3.files import naming_target

__all__ = ["make_shapes_dataset"]

_META = "shapes.json"
_TEXTS = 5
"""Number of texts without an image per image."""
_UPSCALE = 8
"""Factor by which masks are enlarged before their outlines are traced."""
_VERSION = 6
"""Version of the files. Raise it if the same arguments give other files."""


def make_shapes_dataset(
    out: str | Path,
    train: int = 900,
    val: int = 100,
    size: int = 128,
    seed: int = 0,
    style: str = "busy",
    force: bool = False,
) -> Path:
    """Render the dataset, unless the folder already contains it.

    Files in the folder:

    * COCO: ``annotations/{instances,panoptic}_{train,val}2017.json``, ``{train,val}2017/*.jpg`` and
      ``annotations/panoptic_{train,val}2017/*.png``.
    * ADE20K: ``ade/images/{training,validation}`` and ``ade/annotations/{training,validation}/*.png``. Label 0 is unlabelled;
      stuff and then things count from 1.
    * Pretraining: ``pairs_{train,val}.jsonl``, one image and caption per line; ``texts_{train,val}.txt``, five times as many
      captions of scenes that were not rendered, and the questions and statements of the tasks.
    * Tasks: see :class:`~mmbeit3.datasets.shapes.tasks.TaskFiles`.

    The same arguments give the same bytes. The files are written to a temporary folder, which is renamed when complete.

    Args:
        out: folder to create.
        train: number of training images.
        val: number of validation images.
        size: side of the images in pixels, at least 64.
        seed: seed of all random choices, 0 or more.
        style: ``'busy'``, or ``'plain'`` with a grey background and clear colours, for networks without convolutions and short
            training.
        force: replace a shapes dataset that was made with other arguments.

    Returns:
        The folder.

    Raises:
        UserError: if the folder exists with other content, or an argument is out of range.
    """
    out = Path(out)
    if min(train, val) < 1 or size < 64 or seed < 0:
        raise UserError(
            f"shapes: train is {train}, val {val}, size {size}, seed {seed}: give at least one image per split, a size of at "
            "least 64 and a seed of at least 0"
        )
    if style not in STYLES:
        raise UserError(f"shapes: style '{style}' is unknown: give one of {', '.join(STYLES)}")
    arguments = {"version": _VERSION, "train": train, "val": val, "size": size, "seed": seed, "style": style}
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        meta = out / _META
        if not meta.is_file():
            raise UserError(f"'{out}' exists and is not a shapes dataset: give another folder")
        found = _read_meta(meta)
        if found == arguments:
            return out
        # A dataset of an older version with the same arguments is replaced. The first versions did not store the style.
        if not force and not (isinstance(found, dict) and {"style": "busy", **found, "version": _VERSION} == arguments):
            raise UserError(
                f"'{out}' is a shapes dataset made with other arguments: add --force to replace it, or give another folder"
            )
    # The temporary folder is next to the final one, so an error of writing it names the final one.
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
                # Move the old dataset away first, so that a kill at this point leaves a complete dataset.
                out.replace(Path(temporary) / "old")
            folder.replace(out)
    return out


def _read_meta(path: Path) -> Any:
    """Read the arguments of an existing dataset. None if they cannot be read, which counts as other arguments."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def _write_split(
    folder: Path, split: str, scenes: Iterable[Scene], rng: np.random.Generator, tasks_rng: np.random.Generator
) -> None:
    """Write images, annotations and texts. ``rng`` chooses the wording of captions, ``tasks_rng`` the questions of tasks."""
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
    texts = [random_caption(rng) for _ in range(_TEXTS * len(pairs))] + tasks.sentences
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
    """Return the bounding box as COCO's x, y, width, height in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def _segmentation(mask: np.ndarray, crowd: bool) -> list[list[float]] | dict[str, Any]:
    """Return polygons, or RLE for crowds and for masks with holes, which polygons cannot represent."""
    # OpenCV's contours go through pixel centres. On an enlarged mask they are close to the pixels' outlines, as in COCO.
    x, y, width, height = _box(mask)
    fine = mask[y : y + height, x : x + width].astype(np.uint8).repeat(_UPSCALE, axis=0).repeat(_UPSCALE, axis=1)
    contours, hierarchy = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(_UPSCALE * x, _UPSCALE * y))
    has_hole = hierarchy is not None and (hierarchy[0, :, 3] >= 0).any()
    if crowd or has_hole:
        return {"counts": _run_lengths(mask), "size": list(mask.shape)}
    return [((contour[:, 0] + 0.5) / _UPSCALE).ravel().tolist() for contour in contours]


def _run_lengths(mask: np.ndarray) -> list[int]:
    """Return COCO's uncompressed RLE: run lengths in column-major order, first the zeros."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(np.int8), [-1]])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes])).tolist()


def _semantic(scene: Scene) -> np.ndarray:
    """Return ADE20K's labels, uint8 (H, W): 0 is unlabelled, then stuff, then things."""
    labels = scene.stuff + 1
    for item in scene.objects:
        labels[item.mask] = 1 + len(STUFF_CLASSES) + THING_CLASSES.index(item.name)
    return labels.astype(np.uint8)


def _panoptic(scene: Scene) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return the segments, and the panoptic image (H, W, 3), RGB, whose colours encode their ids."""
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
        # Large ids, so that all three colour channels are used.
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
