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
        warmup: iterations in which the learning rate rises; 0 for none, otherwise at least 2.
        val_interval: epochs between two evaluations. The last epoch is always evaluated.
    """

    epochs: int
    iterations: int
    warmup: int
    val_interval: int


def plan(images: int, batch_size: int, epochs: int | None = None, drop_last: bool = False) -> Schedule:
    """Choose the schedule for a number of images.

    Without a number of epochs, training aims for :data:`TARGET` iterations, in 12 to 100 epochs. The warm-up is a tenth of the
    iterations, at most 500; trainings of less than 20 iterations have none. At most five evaluations take place.

    Args:
        images: number of training images, at least 1; with ``drop_last``, at least ``batch_size``.
        batch_size: images of an iteration.
        epochs: number of epochs; None chooses it.
        drop_last: True if an epoch has no last batch of fewer images.
    """
    per_epoch = images // batch_size if drop_last else math.ceil(images / batch_size)
    if epochs is None:
        epochs = min(max(math.ceil(TARGET / per_epoch), FEWEST), MOST)
    iterations = epochs * per_epoch
    warmup = min(500, iterations // 10)
    # MMEngine's LinearLR needs two iterations: after a single one, the learning rate would stay at its start.
    return Schedule(epochs, iterations, warmup if warmup > 1 else 0, math.ceil(epochs / 5))
