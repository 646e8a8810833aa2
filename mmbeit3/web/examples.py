"""Examples to click: copies of some images, small versions of them to show, and rows of values for the fields of a tab."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.datasets.shapes import render_scene
from mmbeit3.errors import UserError, printable
from mmbeit3.images import find_images, read_pixels, write_image
from mmbeit3.web.found import shrink
from mmbeit3.web.tab import Tab

__all__ = ["ExampleImages", "choose_examples", "example_rows"]

_COUNT = 6
"""Number of example images."""
_MOST_ROWS = 3
"""Number of examples with texts: each takes a line of its own."""
_SIDE = 256
"""Longer side of the small versions, in pixels."""
_RENDERED_SIDE = 256
_SEED = 3


@dataclass(frozen=True)
class ExampleImages:
    """Images to click.

    Attributes:
        images: paths of the images.
        thumbnails: paths of small versions.
        are_shapes: True if they are of the shapes dataset.
    """

    images: tuple[Path, ...]
    thumbnails: tuple[Path, ...]
    are_shapes: bool

    @classmethod
    def from_folder(cls, folder: str | Path, into: Path) -> ExampleImages:
        """Copy images of a folder, evenly spread over its files in alphabetical order. Unreadable files are skipped.

        Args:
            folder: the folder; subfolders are searched, too.
            into: folder to write to. The page serves the files in it, so it must have nothing else.

        Raises:
            UserError: if the folder does not exist, or has no image that can be read.
        """
        found = find_images(folder)
        steps = np.linspace(0, len(found) - 1, min(_COUNT, len(found))).round().astype(int).tolist()
        chosen = [found[step] for step in steps]
        images: list[Path] = []
        thumbnails: list[Path] = []
        first_error: UserError | None = None
        for path in [*chosen, *(path for path in found if path not in chosen)]:
            try:
                pixels = read_pixels(path)
            except UserError as error:
                first_error = first_error or error
                continue
            # A name of its own for each, because subfolders may have files of the same name.
            target = into / f"{len(images) + 1}_{printable(path.name, 100)}"
            shutil.copyfile(path, target)
            images.append(target)
            thumbnails.append(_write_thumbnail(pixels, len(images), into))
            if len(images) == len(chosen):
                break
        if not images:
            raise UserError(f"folder '{folder}' has no image that can be read, first error: {first_error}")
        are_shapes = any((Path(folder) / parent / "shapes.json").is_file() for parent in (".", "..", "../.."))
        return cls(tuple(images), tuple(thumbnails), are_shapes)

    @classmethod
    def rendered(cls, into: Path) -> ExampleImages:
        """Render images of the shapes dataset.

        Args:
            into: folder to write to.
        """
        rng = np.random.default_rng(_SEED)
        images = []
        thumbnails = []
        for number in range(1, _COUNT + 1):
            pixels = render_scene(rng, _RENDERED_SIDE, crowd_rate=0).image[..., ::-1]
            images.append(into / f"shapes_{number}.png")
            write_image(images[-1], pixels)
            thumbnails.append(_write_thumbnail(pixels, number, into))
        return cls(tuple(images), tuple(thumbnails), are_shapes=True)


def choose_examples(tabs: Sequence[Tab], folder: str | Path | None, into: Path) -> list[ExampleImages]:
    """Return the example images of each tab.

    Args:
        tabs: the tabs.
        folder: folder with images for all tabs. Default: for each tab its own folder; if it has none, rendered images.
        into: folder to write to.

    Raises:
        UserError: if a folder does not exist, or has no image that can be read.
    """
    made: dict[Path | None, ExampleImages] = {}
    sources = [tab.folder if folder is None else Path(folder) for tab in tabs]
    for source in sources:
        if source not in made:
            target = into / str(len(made))
            target.mkdir()
            made[source] = ExampleImages.rendered(target) if source is None else ExampleImages.from_folder(source, target)
    return [made[source] for source in sources]


def example_rows(tab: Tab, examples: ExampleImages) -> tuple[list[list[Any]], list[list[Any]]]:
    """Return values of a tab's fields to fill in by one click.

    An optional image stays empty. A tab with several images gets as many rows as there are pairs of different images.

    Returns:
        The values of all inputs, and what to show of them: thumbnails and texts. One list per row. There are no rows if the tab
        has neither a required image nor texts.
    """
    needed = sum(field.kind == "image" and not field.optional for field in tab.inputs)
    offered = {field: field.examples_of_shapes if examples.are_shapes else field.examples for field in tab.inputs}
    texts = {field: cycle(some) for field, some in offered.items() if some}
    from_texts = max(map(len, offered.values()), default=0)
    count = max(1, len(examples.images) // needed) if needed else from_texts
    if texts:
        count = min(count, _MOST_ROWS)
    numbers = cycle(range(len(examples.images)))
    values: list[list[Any]] = []
    shown: list[list[Any]] = []
    for _ in range(count):
        values.append([])
        shown.append([])
        for field in tab.inputs:
            if field.kind == "image" and not field.optional:
                number = next(numbers)
                values[-1].append(str(examples.images[number]))
                shown[-1].append(str(examples.thumbnails[number]))
            elif field in texts:
                values[-1].append(next(texts[field]))
                shown[-1].append(values[-1][-1])
            else:
                values[-1].append(field.value)
    return values, shown


def _write_thumbnail(pixels: np.ndarray, number: int, into: Path) -> Path:
    path = into / f"thumbnail_{number}.jpg"
    write_image(path, shrink(pixels, _SIDE))
    return path
