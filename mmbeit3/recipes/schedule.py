"""Number of epochs and length of the warm-up for small data."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["TARGET", "Schedule", "plan"]

TARGET, FEWEST, MOST = 300, 12, 100
"""Number of iterations to aim for, and limits of the number of epochs. Our choice."""


@dataclass(frozen=True)
class Schedule:
    """Length of a training.

    Attributes:
        epochs: passes over the data.
        iterations: iterations in all epochs.
        warmup: iterations in which the learning rate rises.
        val_interval: epochs between two evaluations. The last epoch is always evaluated.
    """

    epochs: int
    iterations: int
    warmup: int
    val_interval: int


def plan(images: int, batch_size: int, epochs: int | None = None) -> Schedule:
    """Choose the schedule for a number of images.

    Without a number of epochs, training aims for :data:`TARGET` iterations, in 12 to 100 epochs. The warm-up is a tenth of the
    iterations, at most 500. Five evaluations take place.

    Args:
        images: number of training images, at least 1.
        batch_size: images of an iteration.
        epochs: number of epochs; None chooses it.
    """
    per_epoch = math.ceil(images / batch_size)
    if epochs is None:
        epochs = min(max(math.ceil(TARGET / per_epoch), FEWEST), MOST)
    iterations = epochs * per_epoch
    return Schedule(epochs, iterations, max(1, min(500, iterations // 10)), max(1, math.ceil(epochs / 5)))
