"""The record of one evaluation: what was measured, and everything needed to measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mmbeit3.evaluation.published.score_names import find_score, known_scores

__all__ = ["EvaluationRecord", "Score"]


@dataclass(frozen=True)
class Score:
    """One row of the score table.

    Attributes:
        metric: name of the score.
        value: measured value; None if it was not measured.
        published: published value; None if the index has none.
        published_on: data set of the published value.
    """

    metric: str
    value: float | None
    published: float | None = None
    published_on: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus published value; None if one of them is missing."""
        return None if self.value is None or self.published is None else self.value - self.published


@dataclass
class EvaluationRecord:
    """Result of an evaluation; all fields are plain values that JSON can hold.

    Attributes:
        name: name of the model.
        config: path of the config.
        config_hash: SHA-256 of the config with its base configs and options merged.
        weights: path or URL of the weights.
        weights_sha256: SHA-256 of the weights file.
        data_root: data folder; None for the folder in the config.
        split: ``test`` or ``val``.
        seed: random seed.
        corruption: corruption of the images; None for clean images.
        severity: severity of the corruption, from 1 to 5; 0 for clean images.
        scores: names to values, as MMEngine logs them.
        published: names of scores to published values, from the index.
        published_on: names of scores to the data sets of the published values.
        differences: measured minus published values, by the names in the index.
        seconds: duration of the evaluation without loading the model.
        memory_mb: peak memory in 10^6 bytes: of the GPU if there is one, else of the process.
        device: name of the GPU or CPU.
        versions: packages to their versions, and the commit if mmbeit3 runs from a checkout.
        finished: time of the end in UTC.
        error: one line that tells why there are no scores; None if there are.
    """

    name: str
    config: str
    weights: str
    config_hash: str = ""
    weights_sha256: str = ""
    data_root: str | None = None
    split: str = "test"
    seed: int = 0
    corruption: str | None = None
    severity: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    published_on: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    memory_mb: float | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    finished: str = ""
    error: str | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that decides the scores; two evaluations with the same key give the same scores."""
        return (
            self.name,
            self.config_hash,
            self.weights_sha256,
            self.data_root,
            self.split,
            self.seed,
            self.corruption,
            self.severity,
        )

    def table(self) -> list[Score]:
        """Return the published scores with their measured values; without published scores, the measured ones.

        Of measured scores, only those with a usual name are returned if there are any, see
        :func:`~mmbeit3.evaluation.published.score_names.known_scores`.
        """
        if not self.published:
            return [Score(name, value) for name, value in known_scores(self.scores).items()]
        return [
            Score(name, find_score(name, self.scores), value, self.published_on.get(name, ""))
            for name, value in self.published.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EvaluationRecord:
        """Return the record of a line; fields that this version does not have are ignored."""
        known = {part.name for part in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})
