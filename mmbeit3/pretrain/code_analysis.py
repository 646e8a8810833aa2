"""Analysis of an image tokenizer's codes: their use, their information about label images, and examples of their patches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.datasets.labels import IGNORED, decode_labels
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.images import ImageError
from mmbeit3.images.writing import write_image
from mmbeit3.markdown import markdown_table
from mmbeit3.pretrain.code_statistics import entropy, kmeans, mutual_information
from mmbeit3.pretrain.data import BadRecordError, open_records
from mmbeit3.pretrain.data.indexed import Indexed
from mmbeit3.pretrain.data.records import ImagePath
from mmbeit3.pretrain.data.types import LazyRecord
from mmbeit3.pretrain.image_tokenizers import VQKD
from mmbeit3.visualization.grid import with_titles

__all__ = ["Patches", "analyse_codes", "draw_codes", "format_summary", "patch_labels", "read_patches"]

_ZOOM = 2
"""Factor by which patches are enlarged in the picture, so that titles fit."""

_BORDER = np.array([255, 220, 0], np.uint8)


@dataclass(frozen=True)
class Patches:
    """All patches of some images, one row each.

    Attributes:
        codes: the tokenizer's codes (N,), int64.
        colours: mean RGB (N, 3), 0 to 1.
        labels: most frequent label of the patch's pixels (N,), int64; 255 for patches that are mostly unlabelled, and for all
            without label images.
        places: index of the image, row and column of the patch in it (N, 3), int64.
        num_codes: number of codes in the codebook.
        patch_size: side of a patch in pixels of the resized image.
        side: side of the resized, square image in pixels.
    """

    codes: Tensor
    colours: Tensor
    labels: Tensor
    places: Tensor
    num_codes: int
    patch_size: int
    side: int


def patch_labels(labels: Tensor, patch_size: int) -> Tensor:
    """Return the most frequent label of each patch's pixels.

    Args:
        labels: (H, W), 0 to 255, with 255 for unlabelled; H and W are multiples of the patch size.
        patch_size: side of a patch in pixels.

    Returns:
        (h * w,), int64, row-major; 255 if at least half of a patch is unlabelled.
    """
    h, w = labels.shape[0] // patch_size, labels.shape[1] // patch_size
    pixels = labels.long().unflatten(1, (w, patch_size)).unflatten(0, (h, patch_size)).transpose(1, 2).reshape(h * w, -1)
    counts = torch.zeros(h * w, 256, dtype=torch.int64).scatter_add_(1, pixels, torch.ones_like(pixels))
    unlabelled = 2 * counts[:, IGNORED] >= pixels.shape[1]
    counts[:, IGNORED] = 0
    return torch.where(unlabelled, IGNORED, counts.argmax(dim=1))


@torch.no_grad()
def read_patches(tokenizer: VQKD, images: Indexed, labels: Path | None = None, tiles: int = 2) -> Patches:
    """Read images, and compute codes, mean colours and labels of their patches.

    Each image is resized to a square of ``tiles`` times the tokenizer's image size, and each of its ``tiles`` x ``tiles`` parts
    is encoded alone.

    Args:
        tokenizer: the image tokenizer.
        images: the images.
        labels: folder of label images, PNG files with the images' names; None for no labels.
        tiles: number of parts of an image along each side.

    Raises:
        UserError: if an image or a label image cannot be read, or they differ in size.
    """
    size = tokenizer.grid[0] * tokenizer.patch_size
    side, patch = tiles * size, tokenizer.patch_size
    parts: dict[str, list[Tensor]] = {"codes": [], "colours": [], "labels": [], "places": []}
    grid = tiles * tokenizer.grid[0]
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    for index in range(len(images)):
        image = _read(images, index)
        pixels = _resized(image, side)
        cut = pixels.unflatten(2, (tiles, size)).unflatten(1, (tiles, size)).permute(1, 3, 0, 2, 4).flatten(0, 1)
        codes = tokenizer.encode(cut).unflatten(0, (tiles, tiles)).unflatten(2, tokenizer.grid)
        parts["codes"].append(codes.transpose(1, 2).flatten())
        parts["colours"].append(F.avg_pool2d(pixels, patch).flatten(1).T)
        if labels is None:
            parts["labels"].append(torch.full((grid * grid,), IGNORED))
        else:
            parts["labels"].append(patch_labels(_labels_of(images.record_at(index), labels, image.shape[:2], side), patch))
        parts["places"].append(torch.stack([torch.full((grid * grid,), index), rows.flatten(), columns.flatten()], dim=1))
    columns_of = {name: torch.cat(part) for name, part in parts.items()}
    return Patches(**columns_of, num_codes=tokenizer.num_codes, patch_size=patch, side=side)


def draw_codes(patches: Patches, images: Indexed, codes: int = 16, count: int = 12, seed: int = 0) -> np.ndarray:
    """Draw patches of the most frequent codes, one column per code. A frame marks the patch, around it is its context.

    Args:
        patches: patches of the images.
        images: the images.
        codes: number of codes.
        count: number of patches of each code, drawn at random, from different images as far as possible.
        seed: seed of the choice.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    rng = np.random.default_rng(seed)
    counts = torch.bincount(patches.codes, minlength=patches.num_codes)
    frequent = [int(code) for code in counts.argsort(descending=True, stable=True)[:codes] if counts[code] > 0]
    chosen = {code: _choose(patches, code, count, rng) for code in frequent}
    needed = sorted({int(place[0]) for places in chosen.values() for place in places})
    pictures = {code: [np.empty(0)] * len(places) for code, places in chosen.items()}
    for index in needed:
        # Each image is read once, and only one is kept.
        pixels = (_resized(_read(images, index), patches.side) * 255).round().byte().permute(1, 2, 0).numpy()
        padded = np.pad(pixels, ((patches.patch_size,) * 2, (patches.patch_size,) * 2, (0, 0)), constant_values=255)
        for code, places in chosen.items():
            for number, (image, row, column) in enumerate(places.tolist()):
                if image == index:
                    pictures[code][number] = _with_context(padded, row, column, patches.patch_size)
    titles = [f"{code}: {counts[code] / len(patches.codes):.1%}" for code in frequent]
    return with_titles([pictures[code] for code in frequent], titles, gap=4)


def analyse_codes(
    tokenizer: VQKD, images: ImagePath, out: Path, labels: Path | None = None, tiles: int = 2, codes: int = 16, count: int = 12
) -> dict[str, Any]:
    """Analyse a tokenizer's codes on images, and write ``codes.png``, ``codes.json`` and ``codes.md``.

    Args:
        tokenizer: the image tokenizer.
        images: a folder, a list, or ``dict(list=..., folder=...)`` of images that were not trained on, see
            :func:`~mmbeit3.pretrain.data.open_records`.
        out: folder for the files.
        labels: folder of label images, PNG files with the images' names; None for no labels.
        tiles: see :func:`read_patches`.
        codes: number of codes in the picture.
        count: number of patches of each code in the picture.

    Returns:
        ``images``, ``patches``, ``num_codes``; ``codes_used``, the fraction of codes that occur; ``entropy`` in bits and
        ``perplexity`` of the codes; with label images also ``labelled_patches``, ``label_entropy`` in bits, and
        ``information`` and ``information_of_colour``: the mutual information in bits of the labels with the codes and with as
        many clusters of mean colours, found by k-means on the same patches.

    Raises:
        UserError: if images or label images cannot be read.
    """
    records = open_records("images", images)
    if not isinstance(records, Indexed):
        raise UserError("codes are analysed on image files: give a folder or a list of images, not tar shards")
    patches = read_patches(tokenizer, records, labels, tiles)
    bits = entropy(patches.codes)
    summary: dict[str, Any] = {
        "images": len(records),
        "patches": len(patches.codes),
        "num_codes": patches.num_codes,
        "codes_used": len(patches.codes.unique()) / patches.num_codes,
        "entropy": bits,
        "perplexity": 2**bits,
    }
    if labels is not None:
        labelled = patches.labels != IGNORED
        if not labelled.any():
            raise UserError(f"label images in '{labels}' have no labelled patch: all pixels are {IGNORED}")
        truth = patches.labels[labelled]
        summary |= {
            "labelled_patches": len(truth),
            "label_entropy": entropy(truth),
            "information": mutual_information(patches.codes[labelled], truth),
            "information_of_colour": mutual_information(kmeans(patches.colours[labelled], patches.num_codes), truth),
        }
    write_image(out / "codes.png", draw_codes(patches, records, codes, count)[..., ::-1])
    write_atomically(out / "codes.json", (json.dumps(summary, indent=2) + "\n").encode())
    write_atomically(out / "codes.md", format_summary(summary).encode())
    return summary


def format_summary(summary: Mapping[str, Any]) -> str:
    """Format the result of :func:`analyse_codes` as a Markdown table."""
    rows = [
        ["", "value"],
        ["images", f"{summary['images']:,}"],
        ["patches", f"{summary['patches']:,}"],
        ["codes that occur", f"{summary['codes_used']:.1%} of {summary['num_codes']}"],
        ["entropy of the codes", f"{summary['entropy']:.2f} bits, perplexity {summary['perplexity']:.1f}"],
    ]
    if "information" in summary:
        bits = summary["label_entropy"]
        rows.append(["entropy of the labels", f"{bits:.3f} bits, {summary['labelled_patches']:,} patches"])
        for name, key in (("codes", "information"), ("clusters of mean colours", "information_of_colour")):
            share = f", {summary[key] / bits:.1%} of the labels' entropy" if bits else ""
            rows.append([f"mutual information of labels and {name}", f"{summary[key]:.3f} bits{share}"])
    return markdown_table(rows)


def _read(images: Indexed, index: int) -> np.ndarray:
    """Read an image, uint8 (H, W, 3), RGB."""
    record = images.record_at(index)
    try:
        image: np.ndarray = record.load()["image"]
    except BadRecordError as error:
        raise UserError(f"image '{record.file}': {error}") from error
    return image


def _resized(image: np.ndarray, side: int) -> Tensor:
    """Resize an image to a square (3, side, side), 0 to 1."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(pixels, (side, side), mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)


def _labels_of(record: LazyRecord, folder: Path, size: Sequence[int], side: int) -> Tensor:
    """Read the label image of an image with ``size`` (height, width), and resize it to (side, side)."""
    path = folder / Path(record.key).with_suffix(".png")
    try:
        values = decode_labels(path.read_bytes())
    except OSError as error:
        raise UserError(f"label image '{path}' cannot be read: {error.strerror or error}") from error
    except ImageError as error:
        raise UserError(f"label image '{path}' {error}") from error
    if values.min() < 0 or values.max() > IGNORED:
        raise UserError(f"label image '{path}' has values from {values.min()} to {values.max()}: only 0 to 255 are supported")
    (height, width), (image_height, image_width) = values.shape, size
    if (height, width) != (image_height, image_width):
        raise UserError(
            f"label image '{path}' has {width} x {height} pixels, but its image '{record.file}' has {image_width} x "
            f"{image_height}: give labels of the same size"
        )
    labels = torch.from_numpy(values)[None, None].float()
    return F.interpolate(labels, (side, side), mode="nearest-exact")[0, 0]


def _choose(patches: Patches, code: int, count: int, rng: np.random.Generator) -> Tensor:
    """Choose places of a code at random, first one of each image, then further ones."""
    places = patches.places[patches.codes == code]
    places = places[torch.from_numpy(rng.permutation(len(places)))]
    seen: Counter[int] = Counter()
    turns = []
    for image in places[:, 0].tolist():
        turns.append(seen[image])
        seen[image] += 1
    order = np.argsort(turns, kind="stable")[:count]
    return places[torch.from_numpy(order)]


def _with_context(padded: np.ndarray, row: int, column: int, patch: int) -> np.ndarray:
    """Cut out a patch with a patch of context on each side, and a frame around it, of an image with a border of one patch."""
    cut = padded[row * patch : (row + 3) * patch, column * patch : (column + 3) * patch].copy()
    low, high = patch - 1, 2 * patch
    for line in (low, high):
        cut[line, low : high + 1] = _BORDER
        cut[low : high + 1, line] = _BORDER
    return cut.repeat(_ZOOM, 0).repeat(_ZOOM, 1)
