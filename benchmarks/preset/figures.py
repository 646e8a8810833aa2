"""Figures with goals: what the preset reports beside its tables."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmbeit3.markdown import markdown_table, three_digits

__all__ = ["Figure", "figures_markdown"]

_RELATIONS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le}


@dataclass
class Figure:
    """A measured value and its goal.

    Attributes:
        work: what was measured.
        name: name of the value, e.g. ``'of peak'``.
        value: the value; None if it could not be measured.
        unit: ``'%'`` for a fraction, ``'x'`` for a ratio, ``'ms'``, ``'s'``, ``'us'``, or empty for a number.
        relation: ``'≥'`` or ``'≤'``; empty without a goal.
        goal: the goal in the unit of the value.
        note: reason for a missing value, or another remark.
    """

    work: str
    name: str
    value: float | None
    unit: str = ""
    relation: str = ""
    goal: float = 0.0
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """True if the value reaches the goal, None without a goal or a value."""
        if self.value is None or not self.relation:
            return None
        return _RELATIONS[self.relation](self.value, self.goal)

    @property
    def outcome(self) -> str:
        """The goal and whether it was reached, as text."""
        if not self.relation:
            return ""
        state = {True: "reached", False: "missed", None: "not measured"}[self.reached]
        return f"{self.relation} {_text(self.goal, self.unit)}: {state}"

    def __str__(self) -> str:
        parts = [f"{self.work}, {self.name}: {_text(self.value, self.unit)}", self.outcome, self.note]
        return "; ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return {**asdict(self), "reached": self.reached}


def figures_markdown(figures: Sequence[Figure]) -> str:
    """Return figures as a Markdown table."""
    header = ["work", "figure", "measured", "goal", "note"]
    body = [[f.work, f.name, _text(f.value, f.unit), f.outcome, f.note] for f in figures]
    return markdown_table([header, *body], right=[2])


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    if unit == "%":
        return f"{value:.0%}"
    if unit == "x":
        return f"{value:.2f}x"
    return f"{three_digits(value)} {unit}".strip()
