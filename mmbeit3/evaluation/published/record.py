"""One evaluation's line: what was measured, and all that it takes to measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mmbeit3.evaluation.published.score_names import find_score, known_scores

__all__ = ["Record", "Score"]


@dataclass(frozen=True)
class Score:
    """A line of the table.

    Attributes:
        metric: name of the score.
        value: what was measured; None if it was not.
        published: what the index says; None if nothing.
        published_on: the data that this is of.
    """

    metric: str
    value: float | None
    published: float | None = None
    published_on: str = ""

    @property
    def difference(self) -> float | None:
        """Measured less published."""
        return None if self.value is None or self.published is None else self.value - self.published


@dataclass
class Record:
    """What an evaluation found; everything in it is plain, for JSON.

    Attributes:
        name: of the model.
        config: path of its config.
        config_hash: SHA-256 of what the config says, its options included.
        weights: path or address of its weights.
        weights_sha256: SHA-256 of the file.
        data_root: folder of the data; None for the config's own.
        split: ``test`` or ``val``.
        seed: of all randomness.
        corruption: what was done to the images; None for nothing.
        severity: how much of it, from 1 to 5; 0 for nothing.
        scores: names to values, as MMEngine logs them.
        published: names to values, as the index has them.
        published_on: names to the data that these are of.
        differences: measured less published, by the index's names.
        seconds: duration of the evaluation, loading the model aside.
        memory_mb: peak memory in 10^6 bytes: of the GPU if there is one, else of the process.
        device: what it ran on.
        versions: packages to their versions, and the commit of a checkout.
        finished: when, in UTC.
        error: why there are no scores, in a line.
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
        """What decides the scores: two evaluations of one key need not both be made."""
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
        """The published scores with what was measured of them, or else the best known of those measured."""
        if not self.published:
            return [Score(name, value) for name, value in known_scores(self.scores).items()]
        return [
            Score(name, find_score(name, self.scores), value, self.published_on.get(name, ""))
            for name, value in self.published.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Record:
        """The record of a line; fields of later versions are left out."""
        known = {part.name for part in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})
