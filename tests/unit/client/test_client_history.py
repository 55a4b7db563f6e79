"""Tests of the history commands: what do they ask for, print and refuse?"""

import json

import msgspec
import pytest
from unit.client.client_events import RUN
from unit.client.client_world import ACCEPTED, World

from segue_contracts.reply import Refused
from segue_contracts.v1 import commands, runs
from segue_contracts.v1.values import UsageTotals

OTHER = "01hzzzzzzzzzzzzzzzzzzzzzzz"


def test_a_fork_is_asked_for_with_all_that_differs(world: World) -> None:
    """Steps, outputs, inputs and the definition's text; the new run is the data."""
    world.facts.answers["fork_run"] = ACCEPTED
    result = world.run(
        *("run", "fork", f"{RUN}@e1-7", "--at", "lint", "--at", "b"),
        *("--set", 'steps.a.b.output={"x": 1}', "--set", 'steps.c.output="t"'),
        *("--input", "n=3", "--input", "branch=main", "--with", "valid.yaml", "--key", "k"),
    )
    [request] = world.facts.requests

    assert (result.exit_code, result.stdout) == (0, f"run {ACCEPTED.run}\n")
    assert (request.run, request.at, request.key) == (f"{RUN}@e1-7", ["lint", "b"], "k")
    assert request.outputs == {"a.b": {"x": 1}, "c": "t"}
    assert request.inputs == {"n": 3, "branch": "main"}
    assert (request.file, request.text.startswith("name: review")) == ("valid.yaml", True)


def test_a_fork_has_a_key_of_its_own_and_can_be_read_by_programs(world: World) -> None:
    """A lost answer is asked for again under the same key."""
    world.facts.answers["fork_run"] = ACCEPTED
    result = world.run("run", "fork", RUN, "-o", "json")

    assert json.loads(result.stdout)["run"] == ACCEPTED.run
    assert world.facts.requests[0].key


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--set", "lint=1"], "write steps.STEP.output=JSON"),
        (["--set", "steps.lint.output=low"], "a text needs double quotes"),
        (["--input", "branch"], "write NAME=VALUE"),
    ],
)
def test_an_edit_of_another_form_is_refused_before_anything_is_asked(
    world: World, options: list[str], reason: str
) -> None:
    """The sentence shows the form."""
    result = world.run("run", "fork", RUN, *options)

    assert (result.exit_code, world.facts.requests) == (2, [])
    assert reason in result.stderr


def test_a_fork_with_an_invalid_definition_is_refused_here(world: World) -> None:
    """With every problem and its line."""
    result = world.run("run", "fork", RUN, "--with", "invalid.yaml")

    assert (result.exit_code, world.facts.requests) == (3, [])
    assert "invalid.yaml:4" in result.stderr


def test_an_expired_checkpoint_is_told(world: World) -> None:
    """As what was not found."""
    refused = Refused(code="checkpoint_expired", message="no longer kept")
    world.facts.answers["fork_run"] = refused
    result = world.run("run", "fork", RUN)

    assert (result.exit_code, result.stderr) == (5, "segue: no longer kept\n")


ENDED = Refused(code="conflict", message="has ended")


def test_resuming_a_run_that_has_ended_forks_it(world: World) -> None:
    """What has not completed runs again."""
    world.facts.answers |= {
        "resume_run": ENDED,
        "get_run": view_of(RUN),
        "fork_run": ACCEPTED,
    }
    result = world.run("workflow", "resume", RUN)
    request = world.facts.requests[-1]

    assert (result.exit_code, result.stdout) == (0, f"run {ACCEPTED.run}\n")
    assert (request.run, request.at) == (RUN, [])


def test_resuming_a_checkpoint_forks_its_run(world: World) -> None:
    """Nothing is asked of the run itself."""
    world.facts.answers["fork_run"] = ACCEPTED
    result = world.run("workflow", "resume", f"{RUN}@e1-7")

    assert result.exit_code == 0
    assert [request.run for request in world.facts.requests] == [f"{RUN}@e1-7"]


def test_a_run_that_cannot_be_resumed_for_another_reason_is_not_forked(world: World) -> None:
    """The refusal is told."""
    running = msgspec.structs.replace(view_of(RUN), ended_ms=0, status="running")
    world.facts.answers |= {"resume_run": ENDED, "get_run": running}
    result = world.run("workflow", "resume", RUN)

    assert (result.exit_code, "has ended" in result.stderr) == (5, True)


def view_of(run: str, **fields: object) -> runs.RunView:
    """Return a run without steps."""
    return runs.RunView(
        run=run,
        namespace="default",
        workflow="review",
        definition="d" * 64,
        status="completed",
        started_ms=1_000,
        ended_ms=3_500,
        cursor="e1-9",
        **fields,
    )


def diff_of() -> commands.RunDiff:
    """Return a difference with a step of each sort."""
    cheap, costly = UsageTotals(cost_usd="0.5"), UsageTotals(cost_usd="2")
    lint = runs.StepView(step="lint", status="completed", usage=cheap)
    scan = runs.StepView(step="scan", status="failed", usage=costly)
    return commands.RunDiff(
        first=view_of(RUN),
        second=view_of(OTHER, forked_from=RUN),
        steps=[
            commands.StepDiff(
                step="lint", first=lint, second=lint, same_output=True, shared=True, first_ms=850
            ),
            commands.StepDiff(step="scan", second=scan, second_ms=1_200, second_output={"n": 1}),
        ],
    )


def test_two_runs_are_shown_side_by_side(world: World) -> None:
    """State, output, time and cost of each step; outputs that differ below."""
    world.facts.answers["diff_runs"] = diff_of()
    lines = world.run("run", "diff", RUN, OTHER).stdout.splitlines()

    assert lines[0] == f"run {RUN} of review: completed, 2.5 s, $0"
    assert lines[1] == f"run {OTHER} of review: completed, 2.5 s, $0, forked from {RUN}"
    [lint] = [line for line in lines if "lint" in line]
    [scan, shown] = [line for line in lines if "scan" in line]
    for cell in ("taken over", "same", "850 ms / 0 ms", "$0.50 / $0"):
        assert cell in lint
    for cell in ("failed", "differs", "0 ms / 1.2 s", "- / $2.00"):
        assert cell in scan
    assert shown == f'scan in {OTHER}: {{"n":1}}'


def test_a_difference_can_be_read_by_programs(world: World) -> None:
    """As the service said it."""
    world.facts.answers["diff_runs"] = diff_of()
    data = json.loads(world.run("run", "diff", RUN, OTHER, "-o", "json").stdout)

    assert [step["step"] for step in data["steps"]] == ["lint", "scan"]


def test_a_replay_shows_what_would_be_decided_otherwise(world: World) -> None:
    """Minus for the run's own definition, plus for the other."""
    difference = commands.ReplayDifference(
        cursor="e1-7", event="started", recorded=["skip a: condition"], replayed=["end completed"]
    )
    world.facts.answers["replay_run"] = commands.ReplayResult(
        run=RUN, events=8, differences=[difference]
    )
    result = world.run("run", "replay", RUN, "--with", "valid.yaml")
    data = json.loads(world.run("run", "replay", RUN, "--with", "valid.yaml", "-o", "json").stdout)

    assert result.stdout.splitlines() == [
        "after started (e1-7)",
        "  - skip a: condition",
        "  + end completed",
    ]
    assert (data["events"], world.facts.requests[0].file) == (8, "valid.yaml")


def test_a_replay_without_a_difference_says_so(world: World) -> None:
    """With how much was compared."""
    world.facts.answers["replay_run"] = commands.ReplayResult(run=RUN, events=8, differences=[])
    result = world.run("run", "replay", RUN, "--with", "valid.yaml")

    assert (result.exit_code, "decides the same after each of 8 events" in result.stdout) == (
        0,
        True,
    )
