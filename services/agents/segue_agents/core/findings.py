"""Findings: what does a tool report about a repository, and in which order?"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Severity = Literal["critical", "high", "medium", "low", "info"]
"""How much a finding matters."""

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""From worst to mildest."""

DEFAULT_LIMIT = 40
"""Findings a report carries unless told otherwise: what a model reads well in one answer."""

MAX_LIMIT = 500
"""Findings a report ever carries."""

MAX_MESSAGE = 400
"""Characters of a message; longer ones are cut."""

_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation at one place of a repository."""

    tool: str
    """The tool that saw it."""
    rule: str
    """The rule it breaks, as the tool names it."""
    severity: Severity
    """How much it matters."""
    message: str
    """What is the matter, for a reader; never a secret's value."""
    file: str
    """Relative to the repository's root, with forward slashes."""
    line: int
    """Counted from 1; 1 for what concerns the whole file."""
    column: int | None = None
    """Counted from 1."""
    symbol: str | None = None
    """The function, class, module or dependency concerned."""
    metric: float | None = None
    """The measured quantity behind it; the higher the worse."""


class ToolReport(Struct, frozen=True, kw_only=True):
    """What one tool has to say about one repository."""

    tool: str
    """The tool."""
    summary: str
    """The result in one or two sentences."""
    findings: tuple[Finding, ...] = ()
    """The worst first, capped."""
    metrics: dict[str, float | int | str] = {}
    """Totals over everything seen, also over what the cap dropped."""
    truncated: int = 0
    """How many findings the cap dropped."""
    notes: tuple[str, ...] = ()
    """What the reader must know about the reach of the result."""


def build_report(
    tool: str,
    *,
    summary: str,
    findings: Iterable[Finding],
    limit: int = DEFAULT_LIMIT,
    metrics: Mapping[str, float | int | str] | None = None,
    notes: Sequence[str] = (),
) -> ToolReport:
    """Order the findings, keep the first `limit` and count them all."""
    everything = ordered(findings)
    kept = tuple(_shortened(finding) for finding in everything[: min(max(limit, 1), MAX_LIMIT)])
    return ToolReport(
        tool=tool,
        summary=summary,
        findings=kept,
        metrics={"findings": len(everything), **severity_counts(everything), **(metrics or {})},
        truncated=len(everything) - len(kept),
        notes=tuple(notes),
    )


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, then the measured quantity, then place and rule."""
    return sorted(findings, key=_order)


def severity_counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Count the findings of each severity that occurs, worst first."""
    counts = Counter(finding.severity for finding in findings)
    return {severity: counts[severity] for severity in SEVERITIES if counts[severity]}


def severity_rank(severity: Severity) -> int:
    """Return 0 for the worst severity."""
    return _RANK[severity]


def _order(finding: Finding) -> tuple[int, float, str, int, str, int, str]:
    return (
        _RANK[finding.severity],
        -(finding.metric or 0.0),
        finding.file,
        finding.line,
        finding.rule,
        finding.column or 0,
        finding.message,
    )


def _shortened(finding: Finding) -> Finding:
    if len(finding.message) <= MAX_MESSAGE:
        return finding
    return replace(finding, message=finding.message[: MAX_MESSAGE - 1] + "…")
