"""Markdown: how is what was found written down for people?"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from segue_providers.core.extract import Scalar, facts, one_line
from segue_providers.core.findings import Finding, Report, ordered

MAX_FINDINGS: Final = 20
MAX_FACTS: Final = 20
_MAX_QUOTE_LINES: Final = 12
_MAX_LINE: Final = 200


def prose(text: str) -> str:
    """Return foreign text on one line, with nothing in it that a renderer would take for markup."""
    return one_line(text).replace("<", "&lt;").replace("|", "\\|")


def code(text: object) -> str:
    """Return foreign text as a code span."""
    return f"`{one_line(str(text)).replace('`', chr(39))}`"


def quoted(text: str) -> list[str]:
    """Return the beginning of a text as a quotation, and how much of it is missing."""
    lines = [line for line in text.splitlines() if line.strip()]
    shown = [f"> {one_line(line, _MAX_LINE).replace('<', '&lt;')}" for line in lines]
    if len(lines) > _MAX_QUOTE_LINES:
        left = len(lines) - _MAX_QUOTE_LINES
        return [*shown[:_MAX_QUOTE_LINES], f"> … {left} more lines"]
    return shown or ["> (nothing)"]


def fact_list(value: object) -> list[str]:
    """Return the first facts of a JSON value as a list, and how many are missing."""
    everything = list(facts(value))
    shown = [f"- {code(fact.path or 'value')}: {_scalar(fact.value)}" for fact in everything]
    if len(shown) > MAX_FACTS:
        return [*shown[:MAX_FACTS], f"- … {len(shown) - MAX_FACTS} more values"]
    return shown or ["- (no values)"]


def severity_table(counts: Mapping[str, int]) -> list[str]:
    """Return a table of how many findings there are of each severity, worst first."""
    rows = [f"| {prose(severity)} | {count} |" for severity, count in ordered(counts)]
    return ["| severity | findings |", "|---|---:|", *rows] if rows else []


def report_blocks(report: Report) -> list[list[str]]:
    """Return a report's paragraphs: summary, table, worst findings, metrics, notes."""
    blocks = [
        [prose(report.summary)] if report.summary else [],
        severity_table(report.counts),
        _finding_list(report),
        _metric_list(report.metrics),
        _note_list(report.notes),
    ]
    return [block for block in blocks if block]


def document(blocks: Iterable[Sequence[str]]) -> str:
    """Join paragraphs."""
    return "\n\n".join("\n".join(block) for block in blocks)


def _finding_list(report: Report) -> list[str]:
    if not report.findings:
        return ["No findings."]
    lines = [_finding(finding) for finding in report.findings[:MAX_FINDINGS]]
    left = len(report.findings) - len(lines)
    if left > 0:
        lines.append(f"- … {left} more listed by the tool")
    if report.truncated:
        lines.append(f"- … {report.truncated} more that the tool left out")
    return lines


def _finding(finding: Finding) -> str:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    where = f"{code(place)} " if place else ""
    rule = f"{prose(finding.rule)}: " if finding.rule else ""
    symbol = f" (in {code(finding.symbol)})" if finding.symbol else ""
    return f"- **{prose(finding.severity)}** {where}{rule}{prose(finding.message)}{symbol}"


def _metric_list(metrics: Mapping[str, object]) -> list[str]:
    if not metrics:
        return []
    return ["Metrics:", "", *(f"- {code(name)}: {_value(metrics[name])}" for name in metrics)]


def _note_list(notes: Sequence[str]) -> list[str]:
    return ["Notes:", "", *(f"- {prose(note)}" for note in notes)] if notes else []


def _value(value: object) -> str:
    if isinstance(value, dict | list) or value is None:
        return code(json.dumps(value, ensure_ascii=False))
    return _scalar(value)


def _scalar(value: Scalar | object) -> str:
    return prose(value) if isinstance(value, str) else json.dumps(value)
