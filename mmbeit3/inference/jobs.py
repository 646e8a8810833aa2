"""Images on their way to a detector or segmentor: the transforms of its test pipeline, and batches of images of one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope

from mmbeit3.datasets.checks.pipelines import type_name
from mmbeit3.errors import UserError, one_line
from mmbeit3.inference.sources import Source

__all__ = ["Job", "build_pipeline", "in_batches"]

_BUCKETS_AHEAD = 8
"""Number of batches of waiting images, of several sizes, after which the oldest one is predicted although it is not full."""


@dataclass(eq=False)
class Job:
    """An image on its way to its result.

    Attributes:
        source: the image as given.
        pixels: uint8 (H, W, 3), BGR.
        data: the transformed image; None if it is to be cut into windows.
        number: number among the images that can be read.
    """

    source: Source
    pixels: np.ndarray
    data: dict[str, Any] | None
    number: int = 0


def in_batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    """Collect images of one size to batches. Images to be cut into windows are batches of their own."""
    buckets: dict[tuple[int, ...], list[Job]] = {}
    for job in jobs:
        if job.data is None:
            yield [job]
            continue
        shape = tuple(job.data["inputs"].shape)
        buckets.setdefault(shape, []).append(job)
        if len(buckets[shape]) == size:
            yield buckets.pop(shape)
        elif sum(map(len, buckets.values())) >= _BUCKETS_AHEAD * size:
            yield buckets.pop(min(buckets, key=lambda key: buckets[key][0].number))
    yield from buckets.values()


def build_pipeline(dataset: Mapping[str, Any], cfg: Config) -> Compose:
    """Build the transforms of a test dataset without those that load images and annotations."""
    steps = [step for step in dataset.get("pipeline") or () if not type_name(step).startswith("Load")]
    if not steps:
        raise UserError("the config has no test pipeline: set test_dataloader.dataset.pipeline")
    try:
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
            return Compose([TRANSFORMS.build(step) for step in steps])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"the test pipeline of the config cannot be built: {one_line(error)}") from error
