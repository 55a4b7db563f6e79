"""Findings: what did a tool report, when its answer has the form of a report?"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from segue_providers.core.extract import mappings

SEVERITIES: Final = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a tool found."""

    severity: str
    file: str
    line: int
    rule: str
    message: str
    symbol: str

    @property
    def rank(self) -> tuple[int, str, int, str]:
        """Worst first, then by place."""
        known = self.severity in SEVERITIES
        worst = SEVERITIES.index(self.severity) if known else len(SEVERITIES)
        return worst, self.file, self.line, self.rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A tool's answer: `{tool, summary, findings, metrics, truncated, notes}`."""

    tool: str
    summary: str
    findings: tuple[Finding, ...]
    """Worst first."""
    metrics: Mapping[str, object]
    truncated: int
    """How many findings the tool itself left out."""
    notes: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many findings are listed, by severity."""
        return Counter(finding.severity for finding in self.findings)


def report_of(value: object, tool: str = "") -> Report | None:
    """Read a report; None when the value has another form.

    Args:
        value: What the tool answered.
        tool: Its name, when the value does not tell.
    """
    if not isinstance(value, dict):
        return None
    found = value.get("findings")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    metrics, notes = value.get("metrics"), value.get("notes")
    return Report(
        tool=_text(value, "tool") or tool,
        summary=_text(value, "summary"),
        findings=tuple(sorted(map(_finding, found), key=lambda one: one.rank)),
        metrics=metrics if isinstance(metrics, dict) else {},
        truncated=_number(value, "truncated"),
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
    )


def reports_in(values: Iterable[object]) -> list[Report]:
    """Return all reports anywhere inside JSON values."""
    nested = (one for value in values for one in mappings(value) if "tool" in one)
    return [report for one in nested if (report := report_of(one)) is not None]


def total(reports: Iterable[Report]) -> Counter[str]:
    """Count the listed findings of several reports by severity."""
    return sum((report.counts for report in reports), Counter[str]())


def ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts worst first, unknown severities last by name."""
    strange = sorted(set(counts) - set(SEVERITIES))
    return [(name, counts[name]) for name in (*SEVERITIES, *strange) if counts.get(name)]


def _finding(value: Mapping[str, object]) -> Finding:
    return Finding(
        severity=_text(value, "severity").lower() or "info",
        file=_text(value, "file"),
        line=_number(value, "line"),
        rule=_text(value, "rule"),
        message=_text(value, "message"),
        symbol=_text(value, "symbol"),
    )


def _text(value: Mapping[str, object], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _number(value: Mapping[str, object], key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) else 0
