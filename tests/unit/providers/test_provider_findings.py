"""Is a tool's report read as it was meant?"""

import pytest

from segue_providers.core.findings import ordered, report_of, reports_in, total

REPORT = {
    "tool": "lint_code",
    "summary": "3 files",
    "findings": [
        {"severity": "LOW", "file": "b.py", "line": 2, "rule": "E1", "message": "low"},
        {"severity": "odd", "file": "a.py"},
        {
            "severity": "high",
            "file": "c.py",
            "line": 9,
            "rule": "F8",
            "message": "m",
            "symbol": "f",
        },
        {"severity": "high", "file": "b.py", "line": 9},
    ],
    "metrics": {"files": 3},
    "truncated": 2,
    "notes": ["one"],
}


def test_findings_are_read_worst_first() -> None:
    """Severity comes first, then the place; unknown severities come last."""
    report = report_of(REPORT)

    assert report is not None
    assert [(one.severity, one.file) for one in report.findings] == [
        ("high", "b.py"),
        ("high", "c.py"),
        ("low", "b.py"),
        ("odd", "a.py"),
    ]
    assert report.findings[1].symbol == "f"
    assert (report.tool, report.summary, report.truncated, report.notes) == (
        "lint_code",
        "3 files",
        2,
        ("one",),
    )
    assert report.metrics == {"files": 3}


def test_what_is_left_out_or_of_another_form_has_a_default() -> None:
    """A bare list of findings is a report of the tool that gave it."""
    report = report_of({"findings": [{}], "metrics": 1, "notes": 2, "truncated": "x"}, "scan")

    assert report is not None
    assert (report.tool, report.summary, report.truncated, report.notes) == ("scan", "", 0, ())
    assert report.metrics == {}
    assert report.findings[0].severity == "info"


@pytest.mark.parametrize("value", [None, [], {}, {"findings": 3}, {"findings": ["text"]}])
def test_another_form_is_no_report(value: object) -> None:
    """Only objects with a list of findings are reports."""
    assert report_of(value) is None


def test_reports_are_found_inside_other_values() -> None:
    """Upstream outputs nest reports at any depth; a list without a tool's name is none."""
    values = [{"security": {"reports": [REPORT, {"tool": "x"}]}}, {"findings": []}]

    assert [report.tool for report in reports_in(values)] == ["lint_code"]


def test_counts_are_summed_and_ordered() -> None:
    """Known severities come worst first, strange ones last."""
    report = report_of(REPORT)

    assert report is not None
    assert ordered(total([report, report])) == [("high", 4), ("low", 2), ("odd", 2)]
