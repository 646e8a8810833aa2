"""Scores under corruption: the mean, and the mean relative to the score on clean images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mmbeit3.evaluation.published.record import EvaluationRecord

__all__ = ["Robustness", "corruption_rows", "summarize", "summary_rows"]


@dataclass(frozen=True)
class Robustness:
    """Scores of a model on clean and on corrupted images; terms of arXiv 1907.07484.

    Attributes:
        name: name of the model.
        metric: name of the score: the first one that was measured.
        clean: score on clean images.
        scores: corruption to severity (1 to 5) to score.
        complete: True if no evaluation of the model failed.
    """

    name: str
    metric: str
    clean: float
    scores: dict[str, dict[int, float]]
    complete: bool = True

    def mean_score(self, corruption: str) -> float:
        """Return the mean score over the severities of a corruption."""
        return fmean(self.scores[corruption].values())

    @property
    def corrupted(self) -> float | None:
        """Mean performance under corruption: mean over corruptions of the mean over severities; None if scores are missing."""
        return fmean(self.mean_score(corruption) for corruption in self.scores) if self.scores and self.complete else None

    @property
    def relative(self) -> float | None:
        """Relative performance under corruption, in percent of ``clean``; None if scores are missing or ``clean`` is 0."""
        return None if self.corrupted is None or self.clean <= 0 else 100 * self.corrupted / self.clean


def summarize(records: Sequence[EvaluationRecord]) -> list[Robustness]:
    """Collect the scores of each model that has a score on clean images, in the order of records."""
    models: dict[str, Robustness] = {}
    for record in records:
        if record.corruption is None and not record.error:
            score = next((score for score in record.table() if score.value is not None), None)
            if score is not None and score.value is not None:
                complete = all(other.error is None for other in records if other.name == record.name)
                models[record.name] = Robustness(record.name, score.metric, score.value, {}, complete)
    for record in records:
        if record.corruption is not None and not record.error and record.name in models:
            model = models[record.name]
            value = next((score.value for score in record.table() if score.metric == model.metric), None)
            if value is not None:
                model.scores.setdefault(record.corruption, {})[record.severity] = value
    return list(models.values())


def summary_rows(models: Sequence[Robustness]) -> list[list[str]]:
    """Return a table as text: the header, then one row per model."""
    rows = [["model", "score", "clean", "corrupted", "relative %"]]
    for model in models:
        cells = ["" if value is None else f"{value:.2f}" for value in (model.clean, model.corrupted, model.relative)]
        rows.append([model.name, model.metric, *cells])
    return rows


def corruption_rows(models: Sequence[Robustness]) -> list[list[str]]:
    """Return a table as text: the header, then one row per model and corruption.

    A row has the score of each severity, their mean, and the mean in percent of the clean score.
    """
    severities = sorted({severity for model in models for scores in model.scores.values() for severity in scores})
    rows = [["model", "corruption", *map(str, severities), "mean", "relative %"]]
    for model in models:
        for index, (corruption, scores) in enumerate(model.scores.items()):
            cells = [f"{scores[severity]:.2f}" if severity in scores else "" for severity in severities]
            mean = model.mean_score(corruption)
            relative = f"{100 * mean / model.clean:.1f}" if model.clean > 0 else ""
            rows.append(["" if index else model.name, corruption, *cells, f"{mean:.2f}", relative])
    return rows
