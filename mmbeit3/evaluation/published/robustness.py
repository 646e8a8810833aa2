"""What corruptions do to scores: mean performance under corruption, and that as a share of the clean performance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mmbeit3.evaluation.published.record import Record

__all__ = ["Robustness", "corruption_rows", "summarize", "summary_rows"]


@dataclass(frozen=True)
class Robustness:
    """How a model stands corruptions; the terms are of arXiv 1907.07484.

    Attributes:
        name: of the model.
        metric: its first score.
        clean: that, on images as they are.
        scores: corruptions to severities to scores.
        complete: whether nothing that was asked for failed.
    """

    name: str
    metric: str
    clean: float
    scores: dict[str, dict[int, float]]
    complete: bool = True

    def mean_score(self, corruption: str) -> float:
        """The mean over a corruption's severities."""
        return fmean(self.scores[corruption].values())

    @property
    def corrupted(self) -> float | None:
        """Mean performance under corruption, over corruptions of the mean over severities; None if some or all are missing."""
        return fmean(self.mean_score(corruption) for corruption in self.scores) if self.scores and self.complete else None

    @property
    def relative(self) -> float | None:
        """Relative performance under corruption, in percent; None without that, or without a clean score above 0."""
        return None if self.corrupted is None or self.clean <= 0 else 100 * self.corrupted / self.clean


def summarize(records: Sequence[Record]) -> list[Robustness]:
    """Models whose clean images were scored, in the order of records, with what was scored of their corrupted ones."""
    found: dict[str, Robustness] = {}
    for record in records:
        if record.corruption is None and not record.error:
            score = next((score for score in record.table() if score.value is not None), None)
            if score is not None and score.value is not None:
                complete = all(other.error is None for other in records if other.name == record.name)
                found[record.name] = Robustness(record.name, score.metric, score.value, {}, complete)
    for record in records:
        if record.corruption is not None and not record.error and record.name in found:
            whole = found[record.name]
            value = next((score.value for score in record.table() if score.metric == whole.metric), None)
            if value is not None:
                whole.scores.setdefault(record.corruption, {})[record.severity] = value
    return list(found.values())


def summary_rows(found: Sequence[Robustness]) -> list[list[str]]:
    """Header and a line for each model."""
    lines = [["model", "score", "clean", "corrupted", "relative %"]]
    for one in found:
        cells = ["" if value is None else f"{value:.2f}" for value in (one.clean, one.corrupted, one.relative)]
        lines.append([one.name, one.metric, *cells])
    return lines


def corruption_rows(found: Sequence[Robustness]) -> list[list[str]]:
    """Header and a line for each model and corruption: the score of each severity, their mean, and that in percent of clean."""
    severities = sorted({severity for one in found for scores in one.scores.values() for severity in scores})
    lines = [["model", "corruption", *map(str, severities), "mean", "relative %"]]
    for one in found:
        for place, (corruption, scores) in enumerate(one.scores.items()):
            cells = [f"{scores[severity]:.2f}" if severity in scores else "" for severity in severities]
            mean = one.mean_score(corruption)
            relative = f"{100 * mean / one.clean:.1f}" if one.clean > 0 else ""
            lines.append(["" if place else one.name, corruption, *cells, f"{mean:.2f}", relative])
    return lines
