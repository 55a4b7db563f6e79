"""Merging: which findings of many reports remain, and how do they rank?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from segue_agents.core.findings import (
    DEFAULT_LIMIT,
    Finding,
    ToolReport,
    build_report,
    ordered,
)

_TOP_FILES = 10


def merge_findings(reports: Sequence[object], *, limit: int = DEFAULT_LIMIT) -> ToolReport:
    """Merge the reports of earlier steps into one ranked list without duplicates.

    Findings with the same file, line and rule count once, with their worst severity.

    Args:
        reports: JSON values that hold tool reports, at any depth.
        limit: Findings to keep.
    """
    sources = list(collect_reports(reports))
    readable, unreadable = _read(sources)
    unique = _unique(readable)
    files = Counter(finding.file for finding in unique)
    return build_report(
        "merge_findings",
        summary=_summary(len(sources), len(unique), files),
        findings=unique,
        limit=limit,
        metrics={
            "reports": len(sources),
            "duplicates": len(readable) - len(unique),
            "files": len(files),
            **_counts(unique, files),
        },
        notes=_notes(sources, unreadable),
    )


def collect_reports(value: object) -> Iterator[Mapping[str, object]]:
    """Yield every object that has a list of `findings`, wherever it is nested."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as report if isinstance(report.get("findings"), list | tuple):
                yield report
            case dict() as mapping:
                waiting.extend(reversed(list(mapping.values())))
            case list() | tuple() as items:
                waiting.extend(reversed(items))


def _read(sources: Iterable[Mapping[str, object]]) -> tuple[list[Finding], int]:
    findings: list[Finding] = []
    unreadable = 0
    for source in sources:
        for value in _items(source.get("findings")):
            try:
                findings.append(msgspec.convert(value, Finding, from_attributes=True))
            except msgspec.ValidationError:
                unreadable += 1
    return findings, unreadable


def _unique(findings: Iterable[Finding]) -> list[Finding]:
    first: dict[tuple[str, int, str], Finding] = {}
    for finding in ordered(findings):
        first.setdefault((finding.file, finding.line, finding.rule), finding)
    return list(first.values())


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _counts(findings: Iterable[Finding], files: Mapping[str, int]) -> dict[str, int]:
    tools = Counter(finding.tool for finding in findings)
    return {
        **{f"tool.{tool}": count for tool, count in tools.most_common()},
        **{f"file.{file}": count for file, count in _most_common(files)},
    }


def _most_common(files: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(files.items(), key=lambda item: (-item[1], item[0]))[:_TOP_FILES]


def _summary(reports: int, findings: int, files: Mapping[str, int]) -> str:
    if not findings:
        return f"{reports} reports hold no findings."
    worst, count = _most_common(files)[0]
    return (
        f"{findings} different findings in {len(files)} files from {reports} reports; "
        f"most are in {worst} ({count})."
    )


def _notes(sources: Iterable[Mapping[str, object]], unreadable: int) -> list[str]:
    notes: dict[str, None] = {}
    left_out = 0
    for source in sources:
        truncated = source.get("truncated")
        left_out += truncated if isinstance(truncated, int) else 0
        for note in _items(source.get("notes")):
            notes[f"{source.get('tool', 'a report')}: {note}"] = None
    if left_out:
        notes[f"the reports had already left out {left_out} milder findings"] = None
    if unreadable:
        notes[f"{unreadable} entries were not findings and were left out"] = None
    return list(notes)
