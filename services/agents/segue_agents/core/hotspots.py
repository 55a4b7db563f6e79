"""Hot spots: which code is worth looking at first?"""

import math
from collections.abc import Iterable, Mapping

from msgspec import Struct

from segue_agents.core.churn import Churn, History
from segue_agents.core.findings import Finding, Severity
from segue_agents.core.shapes import FunctionShape

TOOL = "rank_hot_spots"

_BANDS: tuple[tuple[float, Severity], ...] = ((60, "high"), (30, "medium"), (15, "low"))
"""Scores from which a function counts as that severe; milder ones are no finding."""

_CHANGED_OFTEN = 5
"""Commits from which a file that is no Python is named."""


class MeasuredFunction(Struct, frozen=True, kw_only=True):
    """A function's shape with its cyclomatic complexity."""

    shape: FunctionShape
    """Size and nesting."""
    complexity: int
    """Independent paths through it (McCabe)."""


def rank_functions(
    functions: Mapping[str, Iterable[MeasuredFunction]], history: History
) -> list[Finding]:
    """Score every function by complexity, loops, size and how often its file changes."""
    return [
        finding
        for file, measured in functions.items()
        for function in measured
        if (finding := _judged(file, function, history.files.get(file, Churn())))
    ]


def rank_files(sizes: Mapping[str, int], history: History) -> list[Finding]:
    """Name the files that change most, for sources whose functions are not measured.

    Args:
        sizes: Lines of each file to consider.
        history: What happened to them.
    """
    findings = []
    for file, lines in sizes.items():
        churn = history.files.get(file, Churn())
        if churn.commits >= _CHANGED_OFTEN:
            findings.append(_changed_often(file, lines, churn))
    return findings


def score(function: MeasuredFunction, churn: Churn) -> float:
    """Weigh a function: paths x loops x size, and more the more often its file changes."""
    shape = function.shape
    weight = function.complexity * (1 + 0.5 * shape.loops) * (1 + shape.lines / 100)
    return round(weight * (1 + math.log2(1 + churn.commits) / 4), 1)


def _judged(file: str, function: MeasuredFunction, churn: Churn) -> Finding | None:
    points = score(function, churn)
    severity = next((name for bound, name in _BANDS if points >= bound), None)
    if severity is None:
        return None
    shape = function.shape
    return Finding(
        tool=TOOL,
        rule="hot-function",
        severity=severity,
        message=f"{shape.symbol} scores {points}: {_reasons(function, churn)}",
        file=file,
        line=shape.line,
        symbol=shape.symbol,
        metric=points,
    )


def _reasons(function: MeasuredFunction, churn: Churn) -> str:
    shape = function.shape
    reasons = [f"complexity {function.complexity}", f"{shape.lines} lines"]
    if shape.loops:
        reasons.append(f"loops nested {shape.loops} deep")
    if shape.nesting:
        reasons.append(f"blocks nested {shape.nesting} deep")
    if churn.commits:
        reasons.append(f"its file changed in {_changes(churn)}")
    return ", ".join(reasons)


def _changed_often(file: str, lines: int, churn: Churn) -> Finding:
    return Finding(
        tool=TOOL,
        rule="hot-file",
        severity="info",
        message=f"changed in {_changes(churn)}; {lines} lines today",
        file=file,
        line=1,
        metric=round(churn.commits * math.log2(2 + lines), 1),
    )


def _changes(churn: Churn) -> str:
    commits = "1 commit" if churn.commits == 1 else f"{churn.commits} commits"
    return f"{commits} (+{churn.added}/-{churn.removed} lines)"
