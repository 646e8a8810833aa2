"""What a part of the preset gets and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure import Limits, measure
from benchmarks.preset.figures import Figure
from benchmarks.rows import Row
from benchmarks.settings import Settings

__all__ = ["Context", "Output", "Part"]

Output = list[Row] | Figure
"""The rows of one case, or one figure."""


@dataclass(frozen=True)
class Context:
    """Settings and limits of a run.

    Attributes:
        settings: device, threads, budget per case, and ``quick`` for tiny sizes.
    """

    settings: Settings

    @property
    def limits(self) -> Limits:
        """Peak speeds of the machine."""
        return Limits(self.settings)

    def sized(self, **sizes: Any) -> Settings:
        """Return the settings with sizes; a quick run replaces them by tiny ones."""
        settings = replace(self.settings, **sizes)
        return settings.for_check() if self.settings.quick else settings

    def measure(self, case: Case, settings: Settings) -> list[Row]:
        """Measure a case by :func:`benchmarks.measure.measure`; memory only on GPUs, where it takes no other process."""
        if not settings.device.startswith("cuda"):
            case = replace(case, memory=False)
        return measure("", case, settings, self.limits)


@dataclass(frozen=True)
class Part:
    """A part of the preset.

    Attributes:
        name: name for the command line and the files.
        goals: figures without values, which are reported if the part cannot run.
        seconds: soft limit of its duration.
        many: True if figures have names of their own, so that the goals are reported only if there are none.
        run: measures; yields rows and figures as soon as they are known.
    """

    name: str
    goals: Sequence[Figure]
    seconds: float
    run: Callable[[Context], Iterator[Output]]
    many: bool = False
