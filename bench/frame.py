"""The frame: what is a figure, and how is it told?"""

import statistics
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Literal

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value beside its floor."""

    name: str
    """What was measured."""
    value: float
    """The median of all samples."""
    unit: str
    """Of value and floor."""
    floor: float | None
    """The same, by a bare loop in the same run; None where there is none."""
    ratio: float | None
    """Value over floor."""
    goal: str
    """What the ratio or value shall be."""
    ok: bool
    """Whether it is."""
    n: int
    """How many samples."""
    spread: float
    """Largest minus smallest sample, over the median."""


Benchmark = Callable[[bool], Coroutine[None, None, Sequence[Figure]]]
"""Takes whether to be quick; returns its figures."""


def figure(
    name: str,
    samples: Sequence[float],
    *,
    unit: str,
    floors: Sequence[float] = (),
    goal: float,
    better: Literal["higher", "lower"],
) -> Figure:
    """Return the figure of some samples.

    Args:
        name: What was measured.
        samples: Measured values, at least one.
        unit: Their unit.
        floors: The floor's values, measured beside them; empty for none.
        goal: The bound of the ratio to the floor, or of the value where there is no floor.
        better: Whether the goal is a lower or an upper bound.
    """
    value = statistics.median(samples)
    floor = statistics.median(floors) if floors else None
    ratio = value / floor if floor else None
    measured = value if ratio is None else ratio
    sign = ">=" if better == "higher" else "<="
    return Figure(
        name=name,
        value=round(value, 3),
        unit=unit,
        floor=None if floor is None else round(floor, 3),
        ratio=None if ratio is None else round(ratio, 3),
        goal=f"{sign} {goal:g}{' x floor' if floors else f' {unit}'}",
        ok=measured >= goal if better == "higher" else measured <= goal,
        n=len(samples),
        spread=round((max(samples) - min(samples)) / value, 3) if value else 0.0,
    )


_COLUMNS: Final = ("name", "value", "unit", "floor", "ratio", "goal", "ok", "n", "spread")


def table(figures: Sequence[Figure]) -> str:
    """Return figures as a text table."""
    rows = [_COLUMNS, *([_cell(getattr(f, c)) for c in _COLUMNS] for f in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
