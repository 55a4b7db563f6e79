"""Registered workflows from the command line: are they pushed, named, listed, shown and run?"""

import json

import pytest
from unit.client.client_events import RUN
from unit.client.client_world import ACCEPTED, CONTEXT, INVALID, VALID, World

from segue.cli.definition import is_reference
from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import commands, runs

HASH = "d" * 64
SAVED = commands.WorkflowVersion(
    workflow="review", version="1.0.0", definition=HASH, aliases=["prod"], saved_ms=0
)
TEXT = commands.WorkflowText(workflow="review", definition=HASH, text=VALID, version="1.0.0")


def summary(number: int) -> runs.RunSummary:
    """Return a run of a list."""
    return runs.RunSummary(run=f"run{number}", workflow="review", status="running", started_ms=1)


def test_a_push_is_checked_here_before_it_is_sent(world: World) -> None:
    """Exit code 3 with every problem, and nothing is asked."""
    (world.folder / "bad.yaml").write_text(INVALID, encoding="utf-8")
    result = world.run("workflow", "push", str(world.folder / "bad.yaml"))

    assert (result.exit_code, world.facts.requests) == (3, [])
    assert "bad.yaml:4:5" in result.stderr


def test_a_push_says_what_is_registered_and_under_which_names(world: World) -> None:
    """The text goes as it is, with its file's name for problems."""
    world.facts.answers["save_workflow"] = SAVED
    shown = world.run("workflow", "push", "valid.yaml", "--alias", "prod")
    data = json.loads(world.run("workflow", "push", "valid.yaml", "-o", "json").stdout)

    first = world.facts.requests[0]
    assert (first.text, first.file, first.alias) == (VALID, "valid.yaml", "prod")
    assert shown.stdout == "review@1.0.0 is registered\n"
    assert "aliases: prod" in shown.stderr
    assert data["definition"] == HASH


def test_the_same_push_again_is_told_and_is_no_failure(world: World) -> None:
    """A script may push whenever it runs."""
    world.facts.answers["save_workflow"] = commands.WorkflowVersion(
        workflow="review", version="1.0.0", definition=HASH, existing=True
    )
    result = world.run("workflow", "push", "valid.yaml")

    assert (result.exit_code, result.stdout) == (0, "review@1.0.0 was registered before\n")


def test_a_version_that_is_taken_ends_in_a_conflict(world: World) -> None:
    """Exit code 5 with the service's sentence."""
    world.facts.answers["save_workflow"] = Refused(code="conflict", message="it is another")
    result = world.run("workflow", "push", "valid.yaml")

    assert (result.exit_code, "it is another" in result.stderr) == (5, True)


def test_a_missing_version_is_told_with_its_place(world: World) -> None:
    """Exit code 3, and what to write."""
    problem = Problem(message="needs a version", file="valid.yaml", pointer="/version")
    world.facts.answers["save_workflow"] = Refused(
        code="invalid_definition", message="1 problem", problems=[problem]
    )
    result = world.run("workflow", "push", "valid.yaml")

    assert result.exit_code == 3
    assert "valid.yaml: /version: needs a version" in result.stderr


def test_an_alias_is_set(world: World) -> None:
    """The answer says what it means from now on."""
    world.facts.answers["set_alias"] = SAVED
    result = world.run("workflow", "alias", "review", "prod", "1.0.0")

    [request] = world.facts.requests
    assert (request.workflow, request.alias, request.version) == ("review", "prod", "1.0.0")
    assert result.stdout == "review@prod means review@1.0.0 from now on\n"


def test_versions_are_listed(world: World) -> None:
    """As a table, or as JSON for programs; of one workflow when it is named."""
    world.facts.answers["list_workflows"] = commands.WorkflowList(workflows=[SAVED])
    shown = world.run("workflow", "versions", "review")
    data = json.loads(world.run("workflow", "versions", "-o", "json").stdout)

    assert [r.workflow for r in world.facts.requests] == ["review", ""]
    assert all(part in shown.stdout for part in ("review", "1.0.0", "prod", HASH[:12]))
    assert data[0]["aliases"] == ["prod"]


def test_no_versions_at_all_says_how_to_register(world: World) -> None:
    """The hint is no data."""
    world.facts.answers["list_workflows"] = commands.WorkflowList(workflows=[])
    result = world.run("workflow", "versions")

    assert (result.stdout, "segue workflow push" in result.stderr) == ("", True)


@pytest.mark.parametrize(
    ("reference", "workflow", "definition"),
    [("review@prod", "review@prod", ""), (HASH, "", HASH), ("D" * 64, "D" * 64, "")],
)
def test_a_definition_is_shown_by_reference_or_hash(
    world: World, reference: str, workflow: str, definition: str
) -> None:
    """Its canonical YAML is the data."""
    world.facts.answers["get_workflow"] = TEXT
    result = world.run("workflow", "show", reference)
    data = json.loads(world.run("workflow", "show", reference, "-o", "json").stdout)

    first = world.facts.requests[0]
    assert (first.workflow, first.definition) == (workflow, definition)
    assert result.stdout == VALID
    assert data["version"] == "1.0.0"


def test_a_registered_workflow_is_executed_by_its_reference(world: World) -> None:
    """The start names it, its steps are shown, and the key is always sent."""
    world.finished()
    world.facts.answers["get_workflow"] = TEXT
    result = world.run("workflow", "execute", "review@prod", *CONTEXT, "--watch")

    start = world.facts.requests[1]
    assert (start.workflow, start.text, bool(start.key)) == ("review@prod", "", True)
    assert start.inputs["repository"] == str(world.folder)
    assert result.exit_code == 0
    assert f"run {RUN} of review" in result.stderr
    assert "lint" in result.stdout


def test_a_reference_that_means_nothing_starts_nothing(world: World) -> None:
    """Exit code 5 with the service's sentence."""
    world.facts.answers["get_workflow"] = Refused(code="not_found", message="push it first")
    result = world.run("workflow", "execute", "review@prod")

    assert (result.exit_code, "push it first" in result.stderr) == (5, True)
    assert len(world.facts.requests) == 1


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("review", True),
        ("review@1.0.0", True),
        ("Nightly Report@prod", True),
        ("review.yaml", False),
        ("flows/review", False),
        ("valid.yaml", False),
        ("review@", False),
        ("-", False),
        ("here", False),
    ],
)
def test_what_looks_like_a_file_or_is_one_is_no_reference(
    world: World, text: str, *, is_one: bool
) -> None:
    """So that the old spelling means what it always did."""
    (world.folder / "here").write_text(VALID, encoding="utf-8")

    assert is_reference(text) is is_one


def test_runs_are_listed_under_both_spellings(world: World) -> None:
    """With the filters that there are."""
    world.facts.answers["list_runs"] = commands.RunList(runs=[summary(1)])
    options = ("--workflow", "review", "--status", "parked", "--before", RUN, "--limit", "7")
    one, other = (world.run(group, "list", *options) for group in ("run", "workflow"))

    first, second = world.facts.requests
    assert (
        first
        == second
        == commands.ListRuns(workflow="review", status="parked", before=RUN, limit=7)
    )
    assert one.stdout == other.stdout
    assert "run1" in one.stdout


def test_a_search_goes_on_until_it_has_what_was_asked_for(world: World) -> None:
    """The service looks at a bounded number of runs a call."""
    pages = [
        commands.RunList(runs=[summary(1)], next="a"),
        commands.RunList(runs=[], next="b"),
        commands.RunList(runs=[summary(2)], next="c"),
    ]
    world.facts.answers["list_runs"] = lambda _: pages.pop(0)
    result = world.run("run", "list", "--limit", "2", "-o", "json")

    assert [run["run"] for run in json.loads(result.stdout)] == ["run1", "run2"]
    assert [(r.limit, r.before) for r in world.facts.requests] == [(2, ""), (1, "a"), (1, "b")]


def test_a_search_without_result_says_so(world: World) -> None:
    """It does not claim that there are no runs at all."""
    world.facts.answers["list_runs"] = commands.RunList(runs=[])
    result = world.run("run", "list", "--status", "parked")

    assert (result.stdout, result.stderr) == ("", "no such runs\n")


def test_a_detached_start_by_reference_tells_how_to_follow(world: World) -> None:
    """The run's id is the data."""
    world.facts.answers |= {"get_workflow": TEXT, "start_run": ACCEPTED}
    result = world.run("workflow", "execute", "review", *CONTEXT)

    assert result.stdout == f"run {RUN}\n"
    assert f"segue events tail {RUN}" in result.stderr
