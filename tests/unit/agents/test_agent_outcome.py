"""Outcomes: what does a step hand on?"""

import msgspec
from unit.agents.agent_support import AT, a_finding, a_job, a_manifest, a_report, json_of

from segue_agents.core.job import Job
from segue_agents.core.outcome import REPORTS_LIMIT, Fail, Finish, concluded
from segue_contracts.v1.chat import ToolResult
from segue_contracts.v1.values import UsageTotals

USAGE = UsageTotals(model_calls=2)


def _result(content: str, *, name: str = "look", error: bool = False) -> ToolResult:
    return ToolResult(tool_call_id="c1", name=name, content=content, is_error=error)


def _concluded(
    *results: ToolResult, job: Job | None = None, provider: str = "claude", model: str = "large"
) -> Finish | Fail:
    return concluded(
        job or a_job(),
        "All is well.",
        results=results,
        usage=USAGE,
        answered=(provider, model),
        warnings=("fell back",),
    )


def _finished(
    *results: ToolResult, job: Job | None = None, provider: str = "claude", model: str = "large"
) -> Finish:
    outcome = _concluded(*results, job=job, provider=provider, model=model)
    assert isinstance(outcome, Finish)
    return outcome


def _writer(given: dict[str, object]) -> Job:
    return msgspec.structs.replace(
        a_job(given, manifest=a_manifest(name="writer", output="report")),
        scene=msgspec.structs.replace(a_job().scene, repository="", branch=""),
    )


def test_an_agent_hands_on_its_reports_with_who_answered() -> None:
    """Provider, model, repository and branch stand beside text, counts and reports."""
    report = a_report(a_finding("high"), a_finding("low"))

    output = _finished(_result(json_of(report))).output

    assert {
        "provider": "claude",
        "model": "large",
        "agent": "quality",
        "action": "review",
    }.items() <= (output.items())
    assert (output["repository"], output["branch"]) == ("/src/app", "main")
    assert output["summary"] == "All is well."
    assert output["counts"] == {"critical": 0, "high": 1, "medium": 0, "low": 1, "info": 0}
    assert [report] == output["reports"]


def test_counts_include_what_a_report_had_no_room_for() -> None:
    """A report that counts everything it saw is believed."""
    report = a_report(a_finding("high"), metrics={"findings": 9, "high": 7, "low": 2})

    counts = _finished(_result(json_of(report))).output["counts"]

    assert counts == {"critical": 0, "high": 7, "medium": 0, "low": 2, "info": 0}


def test_an_unknown_severity_counts_as_info() -> None:
    """Nothing that was found is lost from the sums."""
    report = a_report(a_finding("blocker"))

    assert _finished(_result(json_of(report))).output["counts"]["info"] == 1


def test_a_tool_that_was_called_again_counts_once() -> None:
    """Its last report stands."""
    first, second = a_report(a_finding()), a_report(a_finding(), a_finding())

    output = _finished(_result(json_of(first)), _result(json_of(second))).output

    assert [second] == output["reports"]


def test_reports_are_shortened_until_the_output_fits_into_its_event() -> None:
    """The most severe findings stay, and what is left out is counted."""
    many = [a_finding(message="x" * 300, line=line) for line in range(300)]

    reports = _finished(_result(json_of(a_report(*many, truncated=2)))).output["reports"]

    assert len(json_of(reports)) <= REPORTS_LIMIT
    assert reports[0]["findings"][0]["line"] == 0
    assert len(reports[0]["findings"]) + reports[0]["truncated"] == 302


def test_a_report_that_is_too_long_without_findings_is_kept() -> None:
    """There is nothing to leave out of it."""
    report = a_report(summary="x" * REPORTS_LIMIT)

    assert [report] == _finished(_result(json_of(report))).output["reports"]


def test_results_that_are_no_reports_are_not_handed_on() -> None:
    """Text and other objects were for the model."""
    output = _finished(_result("plain text"), _result("{}", name="smell")).output

    assert output["reports"] == []


def test_failed_tools_and_warnings_become_notes() -> None:
    """A reader sees what the result does not rest on."""
    good, bad = (
        _result(json_of(a_report())),
        _result('{"error": "no git"}', error=True, name="smell"),
    )

    assert _finished(good, bad).notes == ("fell back", "tool smell failed: no git")


def test_a_step_of_which_every_tool_failed_has_failed() -> None:
    """Words that rest on nothing are not handed on; another attempt may help."""
    outcome = _concluded(_result("broken pipe", error=True))

    assert isinstance(outcome, Fail)
    assert (outcome.failure.code, outcome.failure.retryable) == ("tool_failed", True)
    assert outcome.failure.message == "no tool worked: look: broken pipe"
    assert outcome.usage == USAGE


def test_the_writer_hands_on_one_report() -> None:
    """Header, text and the table of results by agent, in Markdown."""
    given = {
        "quality": {
            "output": {
                "agent": "quality",
                "provider": "offline",
                "repository": "/src/app",
                "branch": "main",
                "reports": [a_report(a_finding("high"), truncated=4), "noise"],
            }
        },
        "scan": {"reports": [a_report(a_finding("low"), "noise", tool="find|it")]},
        "more": [a_report(tool="loose")],
    }

    output = _finished(job=_writer(given), provider="offline").output

    table, *sections = output["report"].split("\n\n### ")
    assert table == (
        "# Review of app\n"
        "\n"
        "- Repository: `/src/app`\n"
        "- Branch: `main`\n"
        f"- Date: {AT}\n"
        "- Provider: offline (no model was called)\n"
        "\n"
        "All is well.\n"
        "\n"
        "## Results by agent\n"
        "\n"
        "| Agent | Provider | Tools | Critical | High | Medium | Low | Info | Not shown |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
        "| quality | offline | look | 0 | 1 | 0 | 0 | 0 | 4 |\n"
        "| scan | not said | find\\|it | 0 | 0 | 0 | 1 | 0 | 0 |\n"
        "| more | not said | loose | 0 | 0 | 0 | 0 | 0 | 0 |"
    )
    assert [section.split("\n")[0] for section in sections] == ["quality", "scan", "more"]
    assert [each["agent"] for each in output["agents"]] == ["quality", "scan", "more"]
    assert output["provider"] == "offline"


def test_the_report_shows_what_each_tool_found_first() -> None:
    """Every agent's own findings stand in the report, five of each tool at most."""
    findings = [{**a_finding("low"), "line": number} for number in range(1, 8)]
    given = {"scan": {"reports": [a_report(*findings, tool="find")]}}

    report = _finished(job=_writer(given), provider="offline").output["report"]

    [section] = report.split("\n\n### ")[1:]
    lines = section.splitlines()
    assert lines[:3] == ["scan", "", "- **find**: It is bad."]
    assert len(lines) == 3 + 5
    assert [f":{number}`" in lines[2 + number] for number in range(1, 6)] == [True] * 5
    assert lines[3].startswith("  - low `")


def test_a_report_says_what_nobody_named() -> None:
    """Without a repository or branch the header says so; without results there is no table."""
    report = _finished(job=_writer({"depth": [1]}), model="").output["report"]

    assert report.startswith("# Review of the given results\n")
    assert "- Repository: not named\n- Branch: none\n" in report
    assert "- Provider: claude\n" in report
    assert "Results by agent" not in report


def test_the_provider_line_names_the_model() -> None:
    """A reader knows who wrote the text."""
    assert "- Provider: claude (large)\n" in _finished(job=_writer({})).output["report"]


def test_reports_nested_too_deep_are_not_searched_for() -> None:
    """A hostile input cannot make the search endless."""
    nested: object = a_report(a_finding())
    for _ in range(20):
        nested = {"inner": nested}

    assert _finished(job=_writer({"deep": nested})).output["agents"] == []


def test_the_writer_believes_who_looked_rather_than_the_author() -> None:
    """The agents before it saw the repository; the author's default may be wrong."""
    seen = {"repository": "/src/seen", "branch": "topic", "reports": []}
    said = {"repository": "/src/said", "branch": "main"}

    assert (
        _output({**said, "scan": seen})["repository"],
        _output({**said, "scan": seen})["branch"],
    ) == (
        "/src/seen",
        "topic",
    )
    assert (_output(said)["repository"], _output(said)["branch"]) == ("/src/said", "main")
    assert not _output({"branch": 3})["branch"]


def _output(given: dict[str, object]) -> dict[str, object]:
    return _finished(job=_writer(given)).output


def test_another_branch_than_the_author_s_is_noted() -> None:
    """Tools look at what is checked out, whatever the step asks for."""
    asked = a_job({"branch": "topic"})
    nowhere = msgspec.structs.replace(asked, scene=msgspec.structs.replace(asked.scene, branch=""))

    assert _finished(job=asked).notes[1].endswith("what is checked out: main")
    assert _finished(job=nowhere).notes[1].endswith("what is checked out: no branch")
    assert _finished(job=a_job({"branch": "main"})).notes == ("fell back",)
