"""Reports of tools as JSON: where are they inside a value, and how do they fit into a limit?

A report is an object with a list `findings`; whoever hands one on keeps the most severe findings,
which come first, and counts in `truncated` what was left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard

import msgspec

from segue_agents.core.findings import SEVERITIES, Severity

Report = dict[str, Any]

_MAX_DEPTH: Final = 12
_FACTS: Final = ("repository", "branch")
_WRAPPERS: Final = frozenset({"output", "outputs", "reports", "result", "results", "steps"})


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Reports that one agent or step handed on."""

    name: str
    """The agent when it says so, else the field the reports were found under."""
    provider: str = ""
    """Who answered it; empty when it does not say."""
    reports: tuple[Report, ...]
    """Its reports."""
    facts: Mapping[str, str] = {}
    """What it says it looked at: `repository` and `branch`."""


def is_report(value: object) -> TypeGuard[Report]:
    """Tell whether a value is the report of a tool."""
    return isinstance(value, dict) and isinstance(value.get("findings"), list)


def sources(value: object, name: str = "input", depth: int = 0) -> Iterator[Source]:
    """Find the reports inside a value, grouped by who handed them on, in reading order."""
    if depth > _MAX_DEPTH:
        return
    if is_report(value):
        yield Source(name=name, reports=(_as_report(value),))
    elif isinstance(value, dict) and isinstance(value.get("reports"), list):
        yield from _from_output(value, name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from sources(inner, name if key in _WRAPPERS else str(key), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from sources(inner, name, depth + 1)


def _from_output(value: Mapping[str, Any], name: str) -> Iterator[Source]:
    """Read an agent's output; it says itself who it is of, and who answered."""
    reports = tuple(_as_report(report) for report in value["reports"] if is_report(report))
    yield Source(
        name=str(value.get("agent") or name),
        provider=str(value.get("provider") or ""),
        reports=reports,
        facts={key: value[key] for key in _FACTS if isinstance(value.get(key), str)},
    )


def _as_report(value: Report) -> Report:
    """Return a report whose findings are objects; anything else in the list is left out."""
    return {**value, "findings": [each for each in value["findings"] if isinstance(each, dict)]}


def counts(reports: Sequence[Report]) -> dict[str, int]:
    """Count findings by severity, worst first, also those that reports had no room for."""
    found: dict[str, int] = dict.fromkeys(SEVERITIES, 0)
    for report in reports:
        for severity, number in _counted(report).items():
            found[severity] += number
    return found


def _counted(report: Report) -> dict[Severity, int]:
    """Return a report's own totals, else what its findings add up to; unknown ones are `info`."""
    metrics = report.get("metrics")
    if isinstance(metrics, dict) and "findings" in metrics:
        return {severity: number_of(metrics.get(severity)) for severity in SEVERITIES}
    said = [finding.get("severity") for finding in report["findings"]]
    known = {severity: said.count(severity) for severity in SEVERITIES}
    return {**known, "info": known["info"] + len(said) - sum(known.values())}


def number_of(value: object) -> int:
    """Return a whole number as it is, and 0 for anything else."""
    return value if isinstance(value, int) else 0


def fit(reports: Sequence[Report], limit: int) -> list[Report]:
    """Shorten the longest reports until their JSON has at most `limit` bytes."""
    kept = list(reports)
    while _size(kept) > limit:
        longest = max(range(len(kept)), key=lambda index: len(kept[index]["findings"]))
        if not kept[longest]["findings"]:
            break
        kept[longest] = _shortened(kept[longest])
    return kept


def _shortened(report: Report) -> Report:
    """Leave out the last quarter of a report's findings."""
    findings = report["findings"]
    keep = len(findings) * 3 // 4
    dropped = len(findings) - keep + number_of(report.get("truncated"))
    return {**report, "findings": findings[:keep], "truncated": dropped}


def _size(value: object) -> int:
    return len(msgspec.json.encode(value))
