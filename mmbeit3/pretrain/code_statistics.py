"""Entropy and mutual information of codes and labels in bits, and k-means."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmbeit3.pretrain.image_tokenizers.quantizer import nearest

__all__ = ["entropy", "kmeans", "mutual_information"]


def entropy(values: Tensor) -> float:
    """Return the entropy in bits of the frequencies of non-negative whole numbers (N,)."""
    frequencies = torch.bincount(values).double() / len(values)
    return float(torch.special.entr(frequencies).sum()) / math.log(2)


def mutual_information(first: Tensor, second: Tensor) -> float:
    """Return the mutual information in bits of two variables, from the frequencies of their pairs.

    This estimate is too large by about (A - 1) * (B - 1) / (2 N ln 2) bits for variables with A and B values. So compare only
    variables with the same number of values, on the same patches.

    Args:
        first: non-negative whole numbers (N,).
        second: non-negative whole numbers (N,) of the same patches.

    Raises:
        ValueError: if the numbers of values differ, or there are none.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(f"mutual information needs two equally long rows of values, got {len(first)} and {len(second)}")
    joint = first * (int(second.max()) + 1) + second
    return max(entropy(first) + entropy(second) - entropy(joint), 0.0)


@torch.no_grad()
def kmeans(rows: Tensor, num_clusters: int, iterations: int = 30, seed: int = 0) -> Tensor:
    """Cluster rows by k-means with Euclidean distance. A cluster that becomes empty restarts at a random row.

    Args:
        rows: (N, D), at least one row.
        num_clusters: number of clusters.
        iterations: number of rounds of assigning and averaging.
        seed: seed of the first centres, which are drawn from the rows.

    Returns:
        The cluster of each row (N,), int64.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = rows[torch.randint(len(rows), (num_clusters,), generator=generator)].double()
    rows = rows.double()
    for _ in range(iterations):
        clusters = nearest(rows, centres)
        counts = torch.bincount(clusters, minlength=num_clusters)
        sums = torch.zeros_like(centres).index_add_(0, clusters, rows)
        drawn = rows[torch.randint(len(rows), (num_clusters,), generator=generator)]
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), drawn)
    return nearest(rows, centres)
