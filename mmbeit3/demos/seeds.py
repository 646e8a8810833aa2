"""Train configs with several seeds, and compare their scores."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbeit3.demos.training import train_once
from mmbeit3.markdown import markdown_table

__all__ = ["Contender", "table_of_seeds", "train_seeds"]


@dataclass(frozen=True)
class Contender:
    """A row of the table.

    Attributes:
        name: name in the table and of its folders.
        config: path of the config, or its name after ``mmbeit3::``.
        options: config settings to change.
    """

    name: str
    config: str
    options: Mapping[str, object] = field(default_factory=dict)


def train_seeds(contenders: Sequence[Contender], seeds: Sequence[int], out: Path) -> dict[str, list[dict[str, float]]]:
    """Train each contender once per seed. Trainings that an earlier call finished are not repeated.

    The seed is the outer loop, so an interrupted comparison has each contender equally often.

    Args:
        contenders: the trainings to compare.
        seeds: seeds of MMEngine's ``randomness``.
        out: folder for the work dirs, ``NAME-SEED``.

    Returns:
        Names of the contenders to the scores of each seed, see :func:`~mmbeit3.demos.training.train_once`.

    Raises:
        UserError: if a training fails or logs no scores.
    """
    results: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
    for seed in seeds:
        for contender in contenders:
            options = {"randomness.seed": seed, **contender.options}
            work_dir = out / f"{contender.name}-{seed}"
            scores = train_once(contender.config, work_dir, f"{contender.name}, seed {seed}", options)
            results[contender.name].append(scores)
    return results


def table_of_seeds(results: Mapping[str, Sequence[Mapping[str, float]]], title: str = "config") -> str:
    """Format mean, standard deviation and the single values of each score as a Markdown table."""
    labels = list(dict.fromkeys(label for runs in results.values() for scores in runs for label in scores))
    rows = [[title, *labels]]
    for name, runs in results.items():
        cells = []
        for label in labels:
            values = [scores[label] for scores in runs if label in scores]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            singles = f" ({', '.join(f'{value:.1f}' for value in values)})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}{singles}" if values else "")
        rows.append([name, *cells])
    return markdown_table(rows)
