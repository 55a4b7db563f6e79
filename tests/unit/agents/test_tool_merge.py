"""Tests: how are the reports of several tools merged?"""

import msgspec

from segue_agents.core.findings import Finding, Severity, build_report
from segue_agents.core.merge import merge_findings


def report(tool: str, *places: tuple[str, int, str, Severity], limit: int = 40) -> object:
    """Make a tool's report as it travels: JSON values."""
    findings = [
        Finding(tool=tool, rule=rule, severity=severity, message="m", file=file, line=line)
        for file, line, rule, severity in places
    ]
    built = build_report(tool, summary="s", findings=findings, limit=limit, notes=["half blind"])
    return msgspec.to_builtins(built)


def test_the_same_place_and_rule_counts_once_with_its_worst_severity() -> None:
    """Two agents that see the same thing make one finding."""
    merged = merge_findings(
        [report("one", ("a.py", 3, "X", "low")), report("two", ("a.py", 3, "X", "high"))]
    )
    assert [(item.tool, item.severity) for item in merged.findings] == [("two", "high")]
    assert merged.metrics["duplicates"] == 1


def test_another_rule_on_the_same_line_stays() -> None:
    """Only what is the same is merged."""
    merged = merge_findings([report("one", ("a.py", 3, "X", "low"), ("a.py", 3, "Y", "low"))])
    assert [item.rule for item in merged.findings] == ["X", "Y"]


def test_findings_are_counted_by_tool_and_by_file() -> None:
    """Totals say where the trouble is."""
    merged = merge_findings(
        [
            report("one", ("a.py", 1, "X", "low"), ("b.py", 1, "X", "low")),
            report("two", ("a.py", 2, "X", "info")),
        ]
    )
    counts = {key: value for key, value in merged.metrics.items() if "." in key}
    assert counts == {"tool.one": 2, "tool.two": 1, "file.a.py": 2, "file.b.py": 1}
    assert merged.summary == (
        "3 different findings in 2 files from 2 reports; most are in a.py (2)."
    )


def test_reports_are_found_at_any_depth() -> None:
    """What an earlier step returned may wrap its reports."""
    nested = {"scan": {"output": {"reports": [report("one", ("a.py", 1, "X", "low"))], "n": 1}}}
    assert len(merge_findings([nested, "text"]).findings) == 1


def test_entries_that_are_no_findings_are_left_out_and_mentioned() -> None:
    """A malformed report does not break the merge."""
    merged = merge_findings([{"findings": [{"rule": "X"}, 7]}])
    assert merged.findings == ()
    assert merged.notes == ("2 entries were not findings and were left out",)


def test_what_earlier_caps_dropped_is_said() -> None:
    """A merged list does not pretend to be complete."""
    cut = report("one", ("a.py", 1, "X", "low"), ("a.py", 2, "X", "low"), limit=1)
    assert merge_findings([cut]).notes == (
        "one: half blind",
        "the reports had already left out 1 milder findings",
    )


def test_the_merge_is_capped_like_any_report() -> None:
    """The limit holds."""
    merged = merge_findings(
        [report("one", ("a.py", 1, "X", "low"), ("a.py", 2, "X", "high"))], limit=1
    )
    assert [item.line for item in merged.findings] == [2]
    assert merged.truncated == 1


def test_no_findings_are_said_plainly() -> None:
    """Nothing to report is a result, too."""
    assert merge_findings([report("one")]).summary == "1 reports hold no findings."


def test_odd_fields_of_a_report_are_ignored() -> None:
    """Only lists are read as notes, only numbers as counts."""
    merged = merge_findings([{"findings": (), "notes": "text", "truncated": "many"}])
    assert merged.notes == ()
