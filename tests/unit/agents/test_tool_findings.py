"""Tests: how do tool reports order, cap and count their findings?"""

from segue_agents.core.findings import (
    MAX_MESSAGE,
    Finding,
    Severity,
    build_report,
    ordered,
    severity_rank,
)


def finding(
    severity: Severity = "low",
    *,
    file: str = "a.py",
    line: int = 1,
    rule: str = "R1",
    metric: float | None = None,
) -> Finding:
    """Make a finding."""
    return Finding(
        tool="t", rule=rule, severity=severity, message="m", file=file, line=line, metric=metric
    )


def test_findings_are_ordered_by_severity_then_file_line_and_rule() -> None:
    """The worst comes first; equals follow their place."""
    expected = [
        finding("critical", file="z.py"),
        finding("high"),
        finding("low", line=2),
        finding("low", line=10, rule="A"),
        finding("low", line=10, rule="B"),
        finding("low", file="b.py"),
    ]
    assert ordered(reversed(expected)) == expected


def test_among_equals_the_higher_metric_comes_first() -> None:
    """A ranking by a measured quantity survives the ordering."""
    mild, strong = finding(metric=2.0), finding(file="z.py", metric=9.0)
    assert ordered([mild, strong]) == [strong, mild]


def test_a_report_keeps_the_worst_and_counts_what_it_drops() -> None:
    """The cap hides findings, but not that there are more."""
    report = build_report(
        "t", summary="s", findings=[finding("low"), finding("high"), finding("info")], limit=1
    )
    assert [item.severity for item in report.findings] == ["high"]
    assert report.truncated == 2
    assert report.metrics == {"findings": 3, "high": 1, "low": 1, "info": 1}


def test_a_limit_below_one_still_shows_the_worst_finding() -> None:
    """A model that asks for nothing gets one."""
    assert len(build_report("t", summary="s", findings=[finding()] * 2, limit=0).findings) == 1


def test_long_messages_are_cut() -> None:
    """No finding can flood a report."""
    long = Finding(tool="t", rule="r", severity="low", message="x" * 999, file="a", line=1)
    (kept,) = build_report("t", summary="s", findings=[long]).findings
    assert len(kept.message) == MAX_MESSAGE
    assert kept.message.endswith("…")


def test_critical_ranks_before_info() -> None:
    """Ranks grow as severities get milder."""
    assert severity_rank("critical") < severity_rank("info")
